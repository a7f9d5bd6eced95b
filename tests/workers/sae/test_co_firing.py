"""Features that fire on the same tokens, checked against counting one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scopebook_workers.sae import co_firing as module
from scopebook_workers.sae.co_firing import DENSE, LEAST_SHARE, LEAST_TOKENS, MOST, co_firing


def slowly(fired: NDArray[np.bool_], feature: int) -> list[tuple[int, float]]:
    """Compare a feature with each other one; `fired` is token by feature."""
    counts = fired.sum(0)
    usable = (counts >= LEAST_TOKENS) & (counts <= DENSE * len(fired))
    found = []
    for other in range(fired.shape[1]):
        both = int((fired[:, feature] & fired[:, other]).sum())
        either = int((fired[:, feature] | fired[:, other]).sum())
        if other != feature and usable[feature] and usable[other] and both >= LEAST_TOKENS:
            found.append((other, both / either))
    found = [one for one in found if one[1] >= LEAST_SHARE]
    return sorted(found, key=lambda one: (-one[1], one[0]))[:MOST]


@pytest.mark.parametrize("block", [7, 1_024])
def test_partners_are_those_that_counting_finds(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng(3)
    topics = rng.random((400, 6)) < 0.08
    fired = np.zeros((400, 60), dtype=bool)
    for feature in range(60):
        # Some follow a topic, some fire anywhere, the last ones hardly ever or everywhere.
        fired[:, feature] = topics[:, feature % 6] & (rng.random(400) < 0.8)
        fired[:, feature] |= rng.random(400) < (0.3 if feature >= 58 else 0.01)
    fired[:, 57] = False
    fired[:2, 57] = True
    tokens, features = np.nonzero(fired)

    found = co_firing(tokens, features, n_tokens=400, n_features=60)

    assert found.fires.tolist() == fired.sum(0).tolist()
    assert len(found.starts) == 61
    known = [slowly(fired, feature) for feature in range(60)]
    assert sum(map(len, known)) > 100
    assert known[57] == known[58] == []
    for feature, wanted in enumerate(known):
        rows = slice(found.starts[feature], found.starts[feature + 1])
        assert found.partners[rows].tolist() == [other for other, _ in wanted]
        np.testing.assert_allclose(found.shares[rows], [share for _, share in wanted], rtol=1e-6)


def test_nothing_that_fires_has_no_partners() -> None:
    nothing = np.zeros(0, dtype=np.int64)

    found = co_firing(nothing, nothing, n_tokens=10, n_features=4)

    assert found.starts.tolist() == [0, 0, 0, 0, 0]
    assert len(found.partners) == len(found.shares) == 0
