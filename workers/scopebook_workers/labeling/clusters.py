"""Windows as vectors, and their clusters: average link on cosine, cut at one distance."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import csr_matrix
from scipy.spatial.distance import squareform
from sklearn.utils.extmath import randomized_svd

#: Terms the vectors know; rarer ones tell windows apart only by chance.
MAX_TERMS = 30_000
DIMENSIONS = 128
MAX_SENSES = 5
#: A cluster smaller than this many windows, or this share of them, is no sense.
MIN_WINDOWS = 3
MIN_SHARE = 0.12

Vectors = NDArray[np.float32]


class WindowVectors:
    """TF-IDF with sublinear counts, then SVD; fitted on the windows it is made from."""

    def __init__(self, windows: Sequence[NDArray[np.int32]], *, seed: int = 0) -> None:
        self.n_windows = len(windows)
        size = 1 + max((int(ids.max()) for ids in windows if len(ids)), default=0)
        found = np.bincount(_distinct(windows), minlength=size)
        #: Share of the windows that hold each term, by folded number.
        self.shares = (found / max(1, self.n_windows)).astype(np.float32)
        common = np.flatnonzero(found >= 2)
        common = common[np.argsort(-found[common], kind="stable")[:MAX_TERMS]]
        self._column = np.full(size, -1, dtype=np.int32)
        self._column[common] = np.arange(len(common), dtype=np.int32)
        self._idf = np.log((1 + self.n_windows) / (1 + found[common])).astype(np.float32) + 1
        self._basis = self._fit(windows, seed)

    def _fit(self, windows: Sequence[NDArray[np.int32]], seed: int) -> Vectors | None:
        """Return the directions (term, dimension) of most variance, or None for few windows."""
        matrix = self._weights(windows)
        rank = min(DIMENSIONS, *(side - 1 for side in matrix.shape))
        if rank < 2:
            return None
        _, _, right = randomized_svd(matrix, rank, n_iter=2, random_state=seed)
        basis: Vectors = np.ascontiguousarray(right.T, dtype=np.float32)
        return basis

    def _weights(self, windows: Sequence[NDArray[np.int32]]) -> csr_matrix:
        sizes = [len(ids) for ids in windows]
        ids = np.concatenate([np.empty(0, np.int32), *windows])
        rows = np.repeat(np.arange(len(windows)), sizes)
        known = ids < len(self._column)
        columns = self._column[ids[known]]
        rows = rows[known][columns >= 0]
        columns = columns[columns >= 0]
        ones = np.ones(len(rows), dtype=np.float32)
        matrix = csr_matrix((ones, (rows, columns)), shape=(len(windows), len(self._idf)))
        matrix.sum_duplicates()
        matrix.data = (1 + np.log(matrix.data)) * self._idf[matrix.indices]
        return matrix

    def embed(self, windows: Sequence[NDArray[np.int32]]) -> Vectors:
        """Return a unit vector for each window (window, dimension); zero where nothing is known."""
        matrix = self._weights(windows)
        dense = matrix.toarray() if self._basis is None else matrix @ self._basis
        lengths = np.linalg.norm(dense, axis=1, keepdims=True)
        unit: Vectors = (dense / np.maximum(lengths, 1e-12)).astype(np.float32)
        return unit


def _distinct(windows: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    parts = [np.unique(ids) for ids in windows]
    return np.concatenate([np.empty(0, np.int32), *parts])


def joining_distances(vectors: Vectors) -> NDArray[np.float32]:
    """Return for each pair of unit vectors the distance at which average link joins them."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), len(vectors)), dtype=np.float32)
    distances = np.clip(1 - vectors @ vectors.T, 0, None)
    upper = np.triu_indices(len(vectors), k=1)
    tree = linkage(distances[upper].astype(np.float64), method="average")
    joined: NDArray[np.float32] = squareform(cophenet(tree)).astype(np.float32)
    return joined


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


#: Where nothing can be calibrated: too few features, or too few examples.
DEFAULT_THRESHOLD: Final = 0.85
FEATURES = 150
MIN_EXAMPLES = 8
_GRID: Final = np.linspace(0.30, 1.0, 36)


def calibrate(features: Sequence[Vectors], *, seed: int = 0) -> float | None:
    """Return the distance at which two features fall apart and one does not, or None.

    Half of the windows of one feature are mixed with half of another's: that union should split,
    each feature alone should not. The score of a threshold is the share of single features kept
    whole plus the mean agreement (adjusted Rand index) with the known halves of the unions. The
    middle of the best stretch is taken, so that a lucky peak does not decide.
    """
    usable = [vectors for vectors in features if len(vectors) >= MIN_EXAMPLES][:FEATURES]
    if len(usable) < 4:
        return None
    rng = np.random.default_rng(seed)
    kept = np.zeros(len(_GRID))
    parted = np.zeros(len(_GRID))
    for number, vectors in enumerate(usable):
        other = usable[(number + int(rng.integers(1, len(usable)))) % len(usable)]
        union, truth = _union(vectors, other, rng)
        single, mixed = joining_distances(vectors), joining_distances(union)
        for i, threshold in enumerate(_GRID):
            kept[i] += cut(single, threshold).max() == 0
            parted[i] += agreement(cut(mixed, threshold), truth)
    score = (kept + parted) / len(usable)
    best = np.flatnonzero(score >= score.max() - 0.01)
    return float(_GRID[best[len(best) // 2]])


def _union(
    first: Vectors, second: Vectors, rng: np.random.Generator
) -> tuple[Vectors, NDArray[np.int64]]:
    parts = [
        vectors[rng.permutation(len(vectors))[: max(4, len(vectors) // 2)]]
        for vectors in (first, second)
    ]
    truth = np.repeat([0, 1], [len(part) for part in parts])
    return np.concatenate(parts), truth


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
