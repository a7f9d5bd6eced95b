"""Windows as unit vectors: what any embedder must offer, and the one that needs no download."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.terms import Vocabulary

#: Terms the vectors know; rarer ones tell windows apart only by chance.
MAX_TERMS: Final = 30_000
DIMENSIONS: Final = 96
#: A term that occurs so often in a window counts half of the most it can.
_HALF: Final = 1.2
#: A place in a window counts no more than this, before the root.
_MOST: Final = 12.0

Ids = NDArray[np.int32]
Weights = NDArray[np.float32]
Vectors = NDArray[np.float32]


class WindowEmbedder(Protocol):
    """Turns windows into directions; windows that mean the same point the same way."""

    @property
    def id(self) -> str:
        """Names the embedder and all that its vectors depend on besides the windows."""

    def embed(self, windows: Sequence[Window]) -> Vectors:
        """Return a unit vector for each window (window, dimension)."""


def embed_each(embedder: WindowEmbedder, groups: Sequence[Sequence[Window]]) -> list[Vectors]:
    """Return the vectors of each group, embedded together: a model is quicker with many."""
    together = embedder.embed([window for group in groups for window in group])
    return np.split(together, np.cumsum([len(group) for group in groups])[:-1])


class WindowVectors:
    """TF-IDF, SVD, and the mean taken off; fitted on the windows it is made from.

    A window is its terms' folded numbers (term,), each with a weight or all with 1. Each singular
    direction counts by its singular value once more than in a plain SVD, and the mean of the
    fitted windows is subtracted: what all texts share would else make all windows alike.
    docs/labeling/senses.md holds what each of these is worth.
    """

    def __init__(
        self, windows: Sequence[Ids], weights: Sequence[Weights] | None = None, *, seed: int = 0
    ) -> None:
        size = 1 + max((int(ids.max()) for ids in windows if len(ids)), default=0)
        parts = [np.unique(ids) for ids in windows]
        found = np.bincount(np.concatenate([np.empty(0, np.int32), *parts]), minlength=size)
        common = np.flatnonzero((found >= 2) & (found < len(windows)))
        common = common[np.argsort(-found[common], kind="stable")[:MAX_TERMS]]
        self._column = np.full(size, -1, dtype=np.int32)
        self._column[common] = np.arange(len(common), dtype=np.int32)
        self._idf = np.log((1 + len(windows)) / (1 + found[common])).astype(np.float32)
        matrix = self._matrix(windows, weights)
        self._basis = _basis(matrix, seed)
        self._mean: Vectors | None = None
        if self._basis is not None:
            self._mean = self._project(matrix).mean(axis=0)

    def embed(self, windows: Sequence[Ids], weights: Sequence[Weights] | None = None) -> Vectors:
        """Return a unit vector for each window; zero where nothing in it is known."""
        return self._project(self._matrix(windows, weights))

    def _project(self, matrix: csr_matrix) -> Vectors:
        dense = unit(matrix.toarray() if self._basis is None else matrix @ self._basis)
        if self._mean is None:
            return dense
        known = np.diff(matrix.indptr) > 0
        return unit(np.where(known[:, None], dense - self._mean, 0))

    def _matrix(self, windows: Sequence[Ids], weights: Sequence[Weights] | None) -> csr_matrix:
        """Return the windows' terms (window, term) at length one."""
        ids = np.concatenate([np.empty(0, np.int32), *windows])
        rows = np.repeat(np.arange(len(windows)), [len(window) for window in windows])
        amounts = np.ones(len(ids)) if weights is None else np.concatenate([[], *weights])
        known = ids < len(self._column)
        columns = self._column[ids[known]]
        rows, amounts = rows[known][columns >= 0], amounts[known][columns >= 0]
        columns = columns[columns >= 0]
        shape = (len(windows), len(self._idf))
        matrix = csr_matrix((amounts.astype(np.float32), (rows, columns)), shape=shape)
        matrix.sum_duplicates()
        matrix.data = matrix.data / (matrix.data + _HALF) * self._idf[matrix.indices]
        row = np.repeat(np.arange(len(windows)), np.diff(matrix.indptr))
        lengths = np.sqrt(np.bincount(row, matrix.data**2, minlength=len(windows)))
        matrix.data = (matrix.data / np.maximum(lengths[row], 1e-12)).astype(np.float32)
        return matrix


class TermVectors:
    """The embedder that needs no download: `WindowVectors` of windows as a reader cuts them.

    A term counts by the root of its weight in the window: more where the feature fires.
    """

    id: Final = f"tf-idf+svd-{DIMENSIONS}-centred"

    def __init__(self, windows: Sequence[Window], vocabulary: Vocabulary, *, seed: int = 0) -> None:
        self._vocabulary = vocabulary
        self._vectors = WindowVectors(*self._terms(windows), seed=seed)

    def embed(self, windows: Sequence[Window]) -> Vectors:
        """Return a unit vector for each window; zero where nothing in it is known."""
        return self._vectors.embed(*self._terms(windows))

    def _terms(self, windows: Sequence[Window]) -> tuple[list[Ids], list[Weights]]:
        folds = self._vocabulary.folds()
        weights = [np.sqrt(np.minimum(window.weights, _MOST)) for window in windows]
        return [folds[window.ids] for window in windows], weights


def _basis(matrix: csr_matrix, seed: int) -> Vectors | None:
    """Return the weighted directions (term, dimension), or None for few windows."""
    rank = min(DIMENSIONS, *(side - 1 for side in matrix.shape))
    if rank < 2:
        return None
    _, singular, right = randomized_svd(matrix, rank, n_iter=2, random_state=seed)
    basis: Vectors = np.ascontiguousarray(
        right.T * (singular / max(float(singular[0]), 1e-12)), dtype=np.float32
    )
    return basis


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Return the vectors (vector, dimension) at length one; zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
