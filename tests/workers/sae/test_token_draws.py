import numpy as np
import torch

from scopebook_workers.sae.firings import Firings
from scopebook_workers.sae.token_draws import TokenDraws, draw_priorities, send_draws


def fire(tokens: np.ndarray, activations: np.ndarray, *, seed: int) -> TokenDraws:
    """Let feature 3 fire once for each token."""
    n = len(tokens)
    lot = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, n)
    firings = Firings(
        feature=torch.full((n,), 3),
        context=torch.zeros(n, dtype=torch.int64),
        position=torch.arange(n),
        token_id=torch.from_numpy(tokens),
        lot=torch.from_numpy(lot),
        activation=torch.from_numpy(activations.astype(np.float32)),
    )
    everything = torch.ones(n, dtype=torch.bool)
    return TokenDraws(**send_draws(firings, draw_priorities(firings), everything).arrays())


def test_of_few_firings_all_are_kept_and_the_shares_are_exact() -> None:
    draws = fire(np.asarray([5, 7, 5, 9]), np.asarray([1.0, 4.0, 2.0, 1.0]), seed=0).highest(100)

    assert draws.shares(100) == ([(7, 0.5), (5, 0.375), (9, 0.125)], True)


def test_shares_of_many_firings_are_told_without_bias_and_as_closely_as_promised() -> None:
    dice = np.random.default_rng(1)
    tokens = dice.choice([1, 2, 3, 4], 5000, p=[0.1, 0.2, 0.3, 0.4])
    activations = dice.lognormal(0, 1, 5000) * np.where(tokens == 1, 6, 1)
    true = {t: activations[tokens == t].sum() / activations.sum() for t in (1, 2, 3, 4)}

    told = [dict(fire(tokens, activations, seed=s).highest(100).shares(100)[0]) for s in range(300)]

    for token, share in true.items():
        found = np.asarray([one.get(token, 0.0) for one in told])
        assert abs(found.mean() - share) < 0.01
        assert found.std() < 0.055


def test_what_was_dropped_is_said_and_the_highest_do_not_depend_on_the_cut() -> None:
    tokens, activations = np.arange(300) % 7, np.linspace(1, 2, 300)
    whole = fire(tokens, activations, seed=4)
    parts = [whole.take(slice(start, start + 50)) for start in (200, 0, 100, 250, 50, 150)]

    cut = TokenDraws.none()
    for part in parts:
        cut = TokenDraws.joined([cut, part]).highest(20)

    assert len(cut) == 21
    assert cut.shares(20) == whole.highest(20).shares(20)
    assert cut.shares(20)[1] is False
