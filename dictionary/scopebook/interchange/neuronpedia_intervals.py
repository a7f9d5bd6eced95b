"""Intervals of strength: how Neuronpedia tells a feature's best examples from its samples."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Samples are told apart by fifths of the contexts that fire, as its own examples are.
_INTERVALS: Final = 5

#: From, to, and share.
Interval = tuple[float, float, float]


def intervals(
    best: NDArray[np.bool_], quantile: NDArray[Any], activation: NDArray[Any]
) -> list[Interval]:
    """Return of each example its interval there: from, to, and share; -1 for the best ones.

    The arrays are of one length: whether it is one of the best, the share of firing contexts with
    a smaller peak (of the best, anything), and the largest activation.
    """
    if not len(activation):
        return []
    interval = np.minimum(_INTERVALS - 1, (quantile * _INTERVALS).astype(int))
    largest = float(activation.max())
    bins: list[Interval] = []
    for is_best, at in zip(best, interval, strict=True):
        if is_best:
            bins.append((-1.0, largest, -1.0))
            continue
        inside = activation[~best & (interval == at)]
        bins.append((float(inside.min()), float(inside.max()), 1 / _INTERVALS))
    return bins
