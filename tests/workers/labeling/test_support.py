import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from scopebook_workers.labeling.support import area, support_of


def plain_area(own: np.ndarray, foreign: np.ndarray) -> float:
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in own for b in foreign]
    return float(np.mean(pairs))


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_share_of_pairs_in_order_ties_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    own, foreign = rng.integers(0, 6, 13).astype(float), rng.integers(0, 5, 29).astype(float)

    value, error = area(own, foreign)

    truth = np.repeat([1, 0], [len(own), len(foreign)])
    assert value == pytest.approx(plain_area(own, foreign))
    assert value == pytest.approx(roc_auc_score(truth, np.concatenate([own, foreign])))
    assert 0 < error < 0.2


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth, held = 0.7602, 0  # of two normals one apart
    for _ in range(400):
        value, error = area(rng.normal(1, 1, 20), rng.normal(0, 1, 40))
        held += abs(value - truth) <= 1.96 * error

    assert 0.90 <= held / 400 <= 0.98


def test_a_label_near_its_own_windows_is_supported_and_one_near_any_is_not() -> None:
    rng = np.random.default_rng(1)

    def windows(direction: int, n: int) -> np.ndarray:
        vectors = rng.normal(0, 0.1, (n, 8)).astype(np.float32)
        vectors[:, direction] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    own, foreign = windows(0, 20), windows(1, 40)
    near, indifferent = np.eye(8, dtype=np.float32)[[0, 5]]

    assert support_of(near, own, foreign).holds is True
    assert support_of(near, own, foreign).value == pytest.approx(1.0)
    other = support_of(indifferent, own, foreign)
    assert other.low < 0.5 < other.high
    assert support_of(near, own[:4], foreign).holds is None


def test_nothing_to_compare_with_says_nothing() -> None:
    assert area(np.empty(0), np.ones(3)) == (0.5, 0.5)
