"""Take one part of the sorting into senses away at a time, and judge the planted text again.

usage: python -m benchmarks.labels.ablation [--size SHARE]

Each row is T1 and T2 with the threshold calibrated anew, so that a part is not blamed for a
threshold that was made for another.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final
from unittest.mock import patch

import numpy as np
from benchmarks.labels import planted
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from sklearn.utils.extmath import randomized_svd

from scopebook_workers.labeling import calibration, clusters, window_vectors
from scopebook_workers.labeling.window_vectors import DIMENSIONS, TermVectors, WindowVectors

#: Below this silhouette a feature is taken to have one sense, so that about as many single ones
#: stay whole as by the calibrated distance.
_SILHOUETTE: Final = 0.5


def _mean_left(vectors: WindowVectors, matrix: csr_matrix) -> Any:
    """Stand for `WindowVectors._project`."""
    dense = matrix.toarray() if vectors._basis is None else matrix @ vectors._basis
    return window_vectors.unit(dense)


def _plain_svd(matrix: csr_matrix, seed: int) -> Any:
    """Stand for `window_vectors._basis`."""
    rank = min(DIMENSIONS, *(side - 1 for side in matrix.shape))
    _, _, right = randomized_svd(matrix, rank, n_iter=2, random_state=seed)
    return np.ascontiguousarray(right.T, dtype=np.float32)


def _unweighted(self: TermVectors, windows: Sequence[Any]) -> Any:
    """Stand for `TermVectors._terms`."""
    folds = self._vocabulary.folds()
    ones = [np.ones(len(window.ids), np.float32) for window in windows]
    return [folds[window.ids] for window in windows], ones


def _five(vectors: window_vectors.Vectors, threshold: float) -> Any:
    """Stand for `planted._place`."""
    return KMeans(5, n_init=3, random_state=0).fit_predict(vectors)


def _by_silhouette(vectors: window_vectors.Vectors, threshold: float) -> Any:
    """Stand for `planted._place`: the number from 2 to 5 of the best silhouette, or one."""
    tried = [KMeans(k, n_init=3, random_state=0).fit_predict(vectors) for k in range(2, 6)]
    scores = [silhouette_score(vectors, found, metric="cosine") for found in tried]
    best = int(np.argmax(scores))
    return tried[best] if scores[best] > _SILHOUETTE else np.zeros(len(vectors), np.int64)


#: What each row goes without, or has in place of the clusters.
ROWS: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "as it is": nullcontext,
    "not drawn to the nearest windows": lambda: patch.object(clusters, "_PULL", 0.0),
    "the mean not taken off": lambda: patch.object(WindowVectors, "_project", _mean_left),
    "a plain SVD": lambda: patch.object(window_vectors, "_basis", _plain_svd),
    "all terms of a window alike": lambda: patch.object(TermVectors, "_terms", _unweighted),
    "clusters by k-means, k = 5": lambda: patch.object(planted, "_place", _five),
    "by k-means, k by silhouette": lambda: patch.object(planted, "_place", _by_silhouette),
    "calibrated on all features": lambda: patch.object(calibration, "_COHERENT", 1.0),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.labels.ablation", description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="below 1: fewer features")
    size = parser.parse_args(arguments).size
    sys.stdout.write(
        "| without | threshold | one sense kept "
        "| union: ARI | exact k | one word: ARI | exact k |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    for name, without in ROWS.items():
        planted.judge.cache_clear()
        with without():
            judged = planted.judge(size)
        one, union, word = (judged.by_kind[kind] for kind in ("one", "union", "word"))
        figures = [planted.whole_share(one)]
        for found in (union, word):
            figures += [planted.mean_agreement(found), planted.exact_share(found)]
        cells = " | ".join(f"{figure:.2f}" for figure in figures)
        sys.stdout.write(f"| {name} | {judged.threshold:.2f} | {cells} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
