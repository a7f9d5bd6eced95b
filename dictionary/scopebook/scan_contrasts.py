"""Contrasts of a scan: each feature's rate against the reference's, or one part's against another.

The tokens that count are the same on both sides: neither the first of a context nor sinks. On the
scan's side documents are the clusters, on the reference's contexts, of which it kept the number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scopebook.contrast_statistics import (
    Floats,
    Rates,
    Ratios,
    benjamini_hochberg,
    clustered_variance,
    log2_ratio,
)

#: A feature is tested where one side has so many firings, or would have at the other's rate, in
#: so many documents or contexts.
LEAST_HITS: Final = 10
LEAST_CLUSTERS: Final = 3
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """One side: what fired each of some features, (feature,) each."""

    hits: Ints
    #: Tokens that count; of each feature, since layers mask different ones.
    tokens: Floats
    clusters: Ints
    variance: Floats

    def rates(self) -> Rates:
        """Return the side as the statistics take it."""
        return Rates(
            hits=self.hits.astype(np.float64),
            tokens=self.tokens,
            clusters=self.clusters.astype(np.float64),
            variance=self.variance,
        )

    @property
    def rate(self) -> Floats:
        """Return the share of the tokens that fire each feature."""
        return np.asarray(self.hits / np.maximum(self.tokens, 1), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Contrast:
    """One side held against another, with the order in which features are told."""

    one: Counts
    other: Counts
    ratios: Ratios
    #: NaN for what was not tested.
    fdr: Floats
    #: Features that are surely more or less frequent, the surest difference first.
    over: Ints
    under: Ints

    @property
    def tested(self) -> int:
        """Return how many features were tested."""
        return int((~np.isnan(self.fdr)).sum())


def document_counts(
    sums: dict[str, Ints], *, tokens: float, token_squares: float, documents: int
) -> Counts:
    """Return the side of some documents from one layer's sums by feature."""
    variance = clustered_variance(
        sums["hits"],
        sums["squares"],
        sums["products"],
        tokens=tokens,
        token_squares=token_squares,
        documents=documents,
    )
    return Counts(
        hits=sums["hits"],
        tokens=np.full(len(sums["hits"]), float(tokens)),
        clusters=sums["documents"],
        variance=variance,
    )


def context_counts(hits: Ints, contexts: Ints, *, tokens: float) -> Counts:
    """Return the side of a collection, which kept how many contexts fire each feature."""
    return Counts(
        hits=hits,
        tokens=np.full(len(hits), float(tokens)),
        clusters=contexts,
        variance=np.zeros(len(hits)),
    )


def joined(parts: Sequence[Counts]) -> Counts:
    """Return the counts of several layers' features, one after the other."""
    names = ("hits", "tokens", "clusters", "variance")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in names
    }
    return Counts(**columns)


def contrast(one: Counts, other: Counts, *, ranked: NDArray[np.bool_], fdr: float) -> Contrast:
    """Hold one side against the other; only `ranked` features are tested and told."""
    ratios = log2_ratio(one.rates(), other.rates())
    enough = _is_enough(one, other) | _is_enough(other, one)
    adjusted = benjamini_hochberg(np.where(ranked & enough, ratios.p, np.nan))
    sure = np.nan_to_num(adjusted, nan=1.0) <= fdr
    bound = ratios.nearest_to_zero
    order = np.argsort(-bound, kind="stable")
    over = order[(sure & (bound > 0))[order]]
    backwards = np.argsort(bound, kind="stable")
    under = backwards[(sure & (bound < 0))[backwards]]
    return Contrast(one=one, other=other, ratios=ratios, fdr=adjusted, over=over, under=under)


def _is_enough(one: Counts, other: Counts) -> NDArray[np.bool_]:
    """Tell which features fire often enough in `one`, there or as it would be in the other.

    A feature that fires ten times in the reference says nothing of a text so short that it would
    fire there once in ten.
    """
    expected = one.rate * other.tokens
    often = (one.hits >= LEAST_HITS) & (np.maximum(other.hits, expected) >= 1)
    return np.asarray(often & (one.clusters >= LEAST_CLUSTERS))


def concept_counts(side: Counts, groups: Ints, n: int) -> Counts:
    """Return the counts of features taken together by the number of their group.

    As if those of one group fired together: their relative spreads add up, weighted by their
    hits, so that an interval is never narrower than it should be. A document that fires several
    counts once for sure: the clusters are those of the feature that has the most.
    """
    size = np.bincount(groups, minlength=n)
    hits = np.bincount(groups, weights=side.hits, minlength=n)
    spread = np.sqrt(np.maximum(side.variance, 1 / (side.clusters + 0.5)))
    weighted = np.bincount(groups, weights=side.hits * spread, minlength=n)
    clusters = np.zeros(n, dtype=np.int64)
    np.maximum.at(clusters, groups, side.clusters)
    return Counts(
        hits=hits.astype(np.int64),
        tokens=np.bincount(groups, weights=side.tokens, minlength=n) / np.maximum(size, 1),
        clusters=clusters,
        variance=(weighted / np.maximum(hits, 1)) ** 2,
    )
