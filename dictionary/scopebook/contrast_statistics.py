"""Statistics for contrasts of two sets of text: rates, ratios with intervals, ranks, many tests.

Numbers in, numbers out: nothing here knows the database. Every function takes all features at
once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]

#: Added to hits and clusters: a side without a hit has a rate and a width too.
_HALF: Final = 0.5
#: Two sets with so many texts together are compared by all their permutations: 252 at most.
EXACT_UP_TO: Final = 10
#: Values that are ranked together; ranking takes about 60 bytes for each.
_VALUES_AT_ONCE: Final = 4_000_000
#: Rank sums closer than this are the same: ranks are multiples of a half.
_SAME: Final = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Rates:
    """How often features fire on one side, and how sure that is."""

    #: Tokens that fire each feature.
    hits: Floats
    #: Tokens that were looked at, of all features or of each.
    tokens: float | Floats
    #: Documents, or contexts, with a hit: what is taken for independent.
    clusters: Floats
    #: Relative variance of the hits (`clustered_variance`); none: that of `clusters` alone.
    variance: Floats | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratios:
    """The base-2 logarithm of a ratio of rates for each feature."""

    log2: Floats
    #: The interval's bounds.
    low: Floats
    high: Floats
    #: Two-sided, of the ratio being 1.
    p: Floats

    @property
    def nearest_to_zero(self) -> Floats:
        """Return the bound of the interval that is nearest to 0, or 0 where it holds 0.

        To rank by it is to rank by what is sure of a difference: rare features with a wild ratio
        do not come first.
        """
        return np.where(self.low > 0, self.low, np.where(self.high < 0, self.high, 0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class RankTest:
    """A Mann-Whitney test for each feature."""

    #: Two-sided; 1 where all values are the same.
    p: Floats
    #: Rank-biserial correlation: 1 where each value of `a` is above each of `b`, -1 the reverse.
    effect: Floats

    @property
    def common_language(self) -> Floats:
        """Return the chance that a text of `a` is above one of `b`; a tie counts half."""
        return (self.effect + 1) / 2


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Return the false discovery rate at which each test would be accepted, in the order of `p`.

    A test that is NaN was not made: it stays NaN, and does not count.
    """
    given = np.asarray(p, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(given))
    adjusted = np.full(given.shape, np.nan)
    order = made[np.argsort(given[made], kind="stable")]
    scaled = given[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return adjusted


def clustered_variance(
    hits: ArrayLike,
    squares: ArrayLike,
    products: ArrayLike,
    *,
    tokens: float,
    token_squares: float,
    documents: int,
) -> Floats:
    """Return the relative variance of the rate `sum x_d / sum n_d`, documents as clusters.

    The ratio estimator's variance by linearisation, divided by the squared rate:
    m / (m - 1) * sum (x_d - r n_d)^2 / (sum x_d)^2. 0 for features without a hit, and for a single
    document, which tells nothing of the spread; `log2_ratio` goes by the clusters there.

    Args:
        hits: Sum of x_d, the tokens of a document that fire a feature.
        squares: Sum of x_d^2.
        products: Sum of x_d * n_d, with a document's tokens n_d.
        tokens: Sum of n_d.
        token_squares: Sum of n_d^2.
        documents: How many there are, m.
    """
    x, xx, xn = (np.asarray(each, dtype=np.float64) for each in (hits, squares, products))
    if documents < 2 or tokens <= 0:
        return np.zeros_like(x)
    rate = x / tokens
    spread = np.maximum(xx - 2 * rate * xn + rate**2 * token_squares, 0.0)
    there = np.maximum(x, 1.0)
    return np.where(x > 0, documents / (documents - 1) * spread / there**2, 0.0)


def log2_ratio(one: Rates, other: Rates, *, confidence: float = 0.95) -> Ratios:
    """Return how often features fire in `one` for each time they do in `other`, as log2.

    Half a hit is added on each side, so that no hit gives a wide interval and not infinity. A
    side's variance is the clustered one, but never below 1 / (clusters with a hit + 1/2): a few
    documents that happen to agree do not make a narrow interval. The interval is that of a normal
    distribution of the logarithm.
    """
    z = float(ndtri((1 + confidence) / 2))
    log2 = np.log2(_rate(one) / _rate(other))
    width = np.sqrt(_variance(one) + _variance(other)) / np.log(2)
    p = 2 * ndtr(-np.abs(log2) / width)
    return Ratios(log2=log2, low=log2 - z * width, high=log2 + z * width, p=np.asarray(p))


def _rate(side: Rates) -> Floats:
    hits = np.asarray(side.hits, dtype=np.float64)
    return np.asarray((hits + _HALF) / (side.tokens + 2 * _HALF))


def _variance(side: Rates) -> Floats:
    least = 1 / (np.asarray(side.clusters, dtype=np.float64) + _HALF)
    return least if side.variance is None else np.maximum(side.variance, least)


def mann_whitney(a: ArrayLike, b: ArrayLike) -> RankTest:
    """Compare per-text values of two sets of texts, feature by feature.

    With at most `EXACT_UP_TO` texts together by all permutations, which ties do not hurt; else by
    the normal approximation with correction for ties and continuity.

    Args:
        a: Values, (text, feature).
        b: The same features of other texts, (text, feature).

    Raises:
        ValueError: A set is empty, or the features are not the same.
    """
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"expected (text, feature) twice, not {first.shape} and {second.shape}")
    if not len(first) or not len(second):
        raise ValueError("a set without texts cannot be compared")
    features = first.shape[1]
    p, effect = np.ones(features), np.zeros(features)
    texts = len(first) + len(second)
    test = _exact if texts <= EXACT_UP_TO else _asymptotic
    for some in _slices(features, max(1, _VALUES_AT_ONCE // texts)):
        p[some], effect[some] = test(first[:, some], second[:, some])
    return RankTest(p=p, effect=effect)


def _slices(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, start + step)


def _asymptotic(a: NDArray[Any], b: NDArray[Any]) -> tuple[Floats, Floats]:
    # Not on top: a server would start a third later for it, and most never compare sets.
    from scipy.stats import mannwhitneyu  # noqa: PLC0415

    with np.errstate(invalid="ignore", divide="ignore"):
        found = mannwhitneyu(a, b, axis=0, method="asymptotic")
    # Where all values are the same there is no spread to divide by.
    p = np.where(np.isnan(found.pvalue), 1.0, found.pvalue)
    return p, 2 * found.statistic / (len(a) * len(b)) - 1


def _exact(a: NDArray[Any], b: NDArray[Any]) -> tuple[Floats, Floats]:
    from scipy.stats import rankdata  # noqa: PLC0415, as above

    n, texts = len(a), len(a) + len(b)
    ranks = rankdata(np.concatenate([a, b]), axis=0)
    chosen = _choices(texts, n)
    middle = n * (texts + 1) / 2
    away = np.abs(chosen @ ranks - middle)
    rank_sum = ranks[:n].sum(axis=0)
    p = (away >= np.abs(rank_sum - middle) - _SAME).mean(axis=0)
    return p, 2 * (rank_sum - n * (n + 1) / 2) / (n * len(b)) - 1


def _choices(texts: int, n: int) -> Floats:
    """Return each way to choose `n` of the texts, (way, text), 1 for a text that is chosen."""
    ways = list(combinations(range(texts), n))
    chosen = np.zeros((len(ways), texts))
    chosen[np.repeat(np.arange(len(ways)), n), np.asarray(ways).ravel()] = 1
    return chosen
