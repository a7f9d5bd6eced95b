"""The statistics of contrasts, held against plainer ways to compute them."""

from itertools import combinations
from math import erfc, log2, sqrt

import numpy as np
import pytest
from numpy.testing import assert_allclose

from scopebook.contrast_statistics import (
    Rates,
    benjamini_hochberg,
    clustered_variance,
    log2_ratio,
    mann_whitney,
)


def plain_benjamini_hochberg(p: list[float]) -> list[float]:
    """For each test the smallest level at which the step-up procedure accepts it."""
    ordered = sorted(p)
    m = len(p)
    return [
        min(1.0, min(m * ordered[k] / (k + 1) for k in range(m) if ordered[k] >= each))
        for each in p
    ]


def wins(a: list[float], b: list[float]) -> float:
    """The pairs in which `a` is above `b`; a tie counts half."""
    return sum((x > y) + (x == y) / 2 for x in a for y in b)


def plain_exact_p(a: list[float], b: list[float]) -> float:
    """The share of all splits of the values that are as far from the middle as this one."""
    pool, n = a + b, len(a)
    middle = len(a) * len(b) / 2
    seen = abs(wins(a, b) - middle)
    far = []
    for chosen in combinations(range(len(pool)), n):
        one = [pool[place] for place in chosen]
        other = [pool[place] for place in range(len(pool)) if place not in chosen]
        far.append(abs(wins(one, other) - middle) >= seen - 1e-9)
    return sum(far) / len(far)


def plain_asymptotic_p(a: list[float], b: list[float]) -> float:
    """The textbook's formula, with corrections for ties and continuity."""
    n, m, pool = len(a), len(b), a + b
    total = n + m
    ties = sum(pool.count(value) ** 3 - pool.count(value) for value in set(pool))
    spread = sqrt(n * m / 12 * (total + 1 - ties / (total * (total - 1))))
    if spread == 0:
        return 1.0
    z = (abs(wins(a, b) - n * m / 2) - 0.5) / spread
    return min(1.0, erfc(z / sqrt(2)))


def sparse_values(texts: int, features: int, seed: int) -> np.ndarray:
    """Values as activations are: mostly 0, the others often the same."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 6, (texts, features)) * (rng.random((texts, features)) < 0.4)


def test_false_discovery_rates_are_those_of_the_step_up_procedure() -> None:
    p = [0.01, 0.04, 0.03, 0.5, 0.04, 1.0, 0.0002]

    assert_allclose(benjamini_hochberg(p), plain_benjamini_hochberg(p))


def test_tests_that_were_not_made_do_not_count() -> None:
    q = benjamini_hochberg([0.02, np.nan, 0.5])

    assert_allclose(q, [0.04, np.nan, 0.5])
    assert len(benjamini_hochberg([])) == 0


def test_small_sets_are_compared_by_all_permutations() -> None:
    a, b = sparse_values(4, 30, seed=1), sparse_values(5, 30, seed=2)

    found = mann_whitney(a, b)

    columns = [(a[:, i].tolist(), b[:, i].tolist()) for i in range(30)]
    assert_allclose(found.p, [plain_exact_p(*pair) for pair in columns])
    assert_allclose(found.common_language, [wins(*pair) / 20 for pair in columns])


def test_larger_sets_are_compared_by_the_corrected_normal_approximation() -> None:
    a, b = sparse_values(14, 40, seed=3), sparse_values(23, 40, seed=4)
    a[:, 0] = 0
    b[:, 0] = 0

    found = mann_whitney(a, b)

    columns = [(a[:, i].tolist(), b[:, i].tolist()) for i in range(40)]
    assert_allclose(found.p, [plain_asymptotic_p(*pair) for pair in columns])
    assert_allclose(found.effect, [2 * wins(*pair) / (14 * 23) - 1 for pair in columns])
    assert found.p[0] == 1
    assert found.effect[0] == 0


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="without texts"):
        mann_whitney(np.zeros((0, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="expected"):
        mann_whitney(np.zeros((2, 3)), np.zeros((2, 4)))


def test_the_clustered_variance_is_that_of_the_linearised_ratio() -> None:
    rng = np.random.default_rng(5)
    n = rng.integers(10, 100, 12).astype(float)
    x = rng.poisson(n[:, None] * [0.05, 0.2, 0.0])

    found = clustered_variance(
        x.sum(axis=0),
        (x**2).sum(axis=0),
        (x * n[:, None]).sum(axis=0),
        tokens=n.sum(),
        token_squares=(n**2).sum(),
        documents=12,
    )

    plain = []
    for feature in range(2):
        rate = x[:, feature].sum() / n.sum()
        residuals = x[:, feature] - rate * n
        plain.append(12 * residuals.var(ddof=1) / x[:, feature].sum() ** 2)
    # `var` takes off a mean that is 0 already: the residuals sum to 0.
    assert_allclose(found, [*plain, 0.0])


def test_a_ratio_has_the_interval_of_both_sides_variances() -> None:
    one = Rates(hits=np.array([40.0]), tokens=1000.0, clusters=np.array([20.0]))
    other = Rates(hits=np.array([10.0]), tokens=2000.0, clusters=np.array([10.0]))

    found = log2_ratio(one, other)

    ratio = log2(40.5 / 1001 / (10.5 / 2001))
    width = sqrt(1 / 20.5 + 1 / 10.5) / np.log(2)
    bounds = np.array([found.log2, found.low, found.high]).ravel()
    expected = [ratio, ratio - 1.959964 * width, ratio + 1.959964 * width]
    assert_allclose(bounds, expected, rtol=1e-6)
    assert_allclose(found.p, [erfc(ratio / width / sqrt(2))])
    assert_allclose(found.nearest_to_zero, found.low)


def side(rng: np.random.Generator, rate: float, evenness: float) -> Rates:
    """2000 features in 150 documents; the less even, the fewer documents hold the hits."""
    n = rng.integers(50, 200, 150)
    rates = rng.gamma(evenness, rate / evenness, (150, 2000)).clip(max=1)
    x = rng.binomial(n[:, None], rates)
    variance = clustered_variance(
        x.sum(axis=0),
        (x**2).sum(axis=0),
        (x * n[:, None]).sum(axis=0),
        tokens=n.sum(),
        token_squares=(n**2).sum(),
        documents=150,
    )
    return Rates(
        hits=x.sum(axis=0), tokens=n.sum(), clusters=(x > 0).sum(axis=0), variance=variance
    )


def share_that_holds(evenness: float) -> float:
    rng = np.random.default_rng(6)
    found = log2_ratio(side(rng, 0.08, evenness), side(rng, 0.02, evenness))
    return float(((found.low < 2) & (found.high > 2)).mean())


def test_intervals_hold_the_truth_at_least_as_often_as_they_say() -> None:
    assert share_that_holds(evenness=2.0) > 0.95  # as wide as the number of documents allows
    assert 0.92 < share_that_holds(evenness=0.25) < 0.97  # by the spread between documents


def test_no_hit_gives_a_wide_interval_and_no_infinity() -> None:
    one = Rates(hits=np.array([0.0, 3.0]), tokens=500.0, clusters=np.array([0.0, 1.0]))
    other = Rates(hits=np.array([0.0, 0.0]), tokens=500.0, clusters=np.array([0.0, 0.0]))

    found = log2_ratio(one, other)

    assert np.isfinite([found.log2, found.low, found.high, found.p]).all()
    assert found.log2[0] == 0
    assert_allclose(found.nearest_to_zero, 0)
