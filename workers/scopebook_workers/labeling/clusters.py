"""Clusters of unit vectors: average link on cosine, cut at one calibrated distance."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

MAX_SENSES: Final = 5
#: A cluster smaller than this many windows, or this share of them, is no sense.
MIN_WINDOWS: Final = 3
MIN_SHARE: Final = 0.12
#: A feature of fewer windows says little about where senses fall apart.
MIN_EXAMPLES: Final = 8
#: How many nearest windows one is drawn to, at most one for each eight, and how strongly.
_NEIGHBOURS: Final = 5
_WINDOWS_PER_NEIGHBOUR: Final = 8
_PULL: Final = 4.0

Vectors = NDArray[np.float32]


def joining_distances(vectors: Vectors) -> NDArray[np.float32]:
    """Return for each pair of unit vectors the distance at which average link joins them.

    The distances are those of `smoothed` vectors.
    """
    if len(vectors) < 2:
        return np.zeros((len(vectors), len(vectors)), dtype=np.float32)
    drawn = smoothed(vectors)
    distances = np.clip(1 - drawn @ drawn.T, 0, None)
    upper = np.triu_indices(len(vectors), k=1)
    tree = linkage(distances[upper].astype(np.float64), method="average")
    joined: NDArray[np.float32] = squareform(cophenet(tree)).astype(np.float32)
    return joined


def smoothed(vectors: Vectors) -> Vectors:
    """Return each unit vector drawn to its nearest ones, by their cosines, again of length one.

    x' ~ x + pull x mean over the nearest of max(0, cos) x neighbour. What a window has by chance
    goes, what it shares with its sense stays; a stranger, to which nothing is near, stays alone.
    Among so few windows that tells senses apart better than any other linkage or cut that was
    tried (docs/labeling/senses.md).
    """
    k = min(_NEIGHBOURS, len(vectors) // _WINDOWS_PER_NEIGHBOUR)
    if k < 1:
        return vectors
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    near = np.clip(np.take_along_axis(cosines, nearest, axis=1), 0, None)
    drawn = vectors + _PULL / k * np.einsum("nk,nkd->nd", near, vectors[nearest])
    lengths = np.linalg.norm(drawn, axis=1, keepdims=True)
    unit: Vectors = (drawn / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def cut(joined: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Return each window's cluster, 0 the largest, and -1 for those in no sense.

    One cluster that is large enough, or none, means that the feature has one sense: all are in it.
    """
    n = len(joined)
    first = (joined <= threshold).argmax(axis=1)  # the first member stands for its cluster
    sizes = np.bincount(first, minlength=n)
    large = np.flatnonzero(sizes >= max(MIN_WINDOWS, MIN_SHARE * n))
    if len(large) < 2:
        return np.zeros(n, dtype=np.int64)
    large = large[np.argsort(-sizes[large], kind="stable")][:MAX_SENSES]
    place = np.full(n, -1, dtype=np.int64)
    place[large] = np.arange(len(large))
    placed: NDArray[np.int64] = place[first]
    return placed


def silhouettes(vectors: Vectors, placed: NDArray[np.int64]) -> list[float | None]:
    """Return each sense's mean silhouette by cosine distance; None for an only sense.

    Of a window: (b - a) / max(a, b), with `a` the mean distance to its own sense and `b` that to
    the nearest other one. Windows in no sense count for nothing.
    """
    senses = int(placed.max()) + 1
    if senses < 2:
        return [None] * senses
    distances = np.clip(1 - vectors @ vectors.T, 0, None)
    members = [np.flatnonzero(placed == sense) for sense in range(senses)]
    to_sense = np.stack([distances[:, own].mean(axis=1) for own in members])
    found: list[float | None] = []
    for sense, own in enumerate(members):
        # Its distance to itself, which is 0, is in the mean and has to be left out of it.
        within = to_sense[sense, own] * len(own) / max(1, len(own) - 1)
        other = np.delete(to_sense[:, own], sense, axis=0).min(axis=0)
        found.append(
            float(((other - within) / np.maximum(np.maximum(within, other), 1e-12)).mean())
        )
    return found


def agreement(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Return the adjusted Rand index of two partitions: 1 when equal, about 0 by chance."""
    table = np.zeros((found.max() + 2, truth.max() + 1))
    np.add.at(table, (found + 1, truth), 1)

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(1.0, pairs(np.asarray([float(len(found))])))
    ceiling = (rows + columns) / 2
    return 1.0 if ceiling == expected else (both - expected) / (ceiling - expected)
