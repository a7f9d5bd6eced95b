"""Drift: how far two labelings of the same features mean the same; their words need not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.scoring.cases import Case
from scopebook_workers.labeling.scoring.metrics import Confusion, kappa
from scopebook_workers.labeling.scoring.score import Predictions


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Two labels of one feature, compared."""

    #: Of the labels' vectors: the largest for each sense of the one among the senses of the
    #: other, the mean of both ways.
    cosine: float
    #: Share of the cases that both answer alike, and Cohen's kappa; None where nothing was asked.
    agreement: float | None
    kappa: float | None
    #: The second's F1 less the first's.
    f1_change: float | None
    #: Cases that both answered.
    n: int


def drift_of(
    first_vectors: NDArray[np.float32],
    second_vectors: NDArray[np.float32],
    *,
    first: Predictions | None = None,
    second: Predictions | None = None,
    cases: Sequence[Case] = (),
) -> Drift:
    """Compare two labelings of a feature by vectors (sense, dimension) and by predictions.

    Both predictions are those on `cases`, in that order; cases that one of them failed on do not
    count. Labels of several senses are compared by their union's predictions (see `united`).
    """
    cosine = _cosine(first_vectors, second_vectors)
    if first is None or second is None:
        return Drift(cosine=cosine, agreement=None, kappa=None, f1_change=None, n=0)
    if not len(first.said) == len(second.said) == len(cases):
        raise InvalidInputError(
            f"Two labelings are compared on one held-out set, but there are {len(first.said)} "
            f"and {len(second.said)} predictions for {len(cases)} windows; score both on one set."
        )
    both = np.flatnonzero((first.said >= 0) & (second.said >= 0))
    if not len(both):
        return Drift(cosine=cosine, agreement=None, kappa=None, f1_change=None, n=0)
    a, b = first.said[both] == 1, second.said[both] == 1
    truth = [cases[i].fires for i in both.tolist()]
    return Drift(
        cosine=cosine,
        agreement=float((a == b).mean()),
        kappa=kappa(a, b),
        f1_change=Confusion.of(truth, b.tolist()).f1 - Confusion.of(truth, a.tolist()).f1,
        n=len(both),
    )


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    a, b = (
        vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        for vectors in (np.atleast_2d(first), np.atleast_2d(second))
    )
    cosines = a @ b.T
    return float((cosines.max(axis=1).mean() + cosines.max(axis=0).mean()) / 2)
