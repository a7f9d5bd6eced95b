"""Which examples of a sense are shown, and to which sense one that was not clustered belongs."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MOST: Final = 24
MOST_OF_A_SENSE: Final = 8
_STRONGEST: Final = 3
_QUANTILES: Final = 4

Vectors = NDArray[np.float32]


def medoid(vectors: Vectors) -> int:
    """Return the row that is nearest to all others in the mean; the first of equal ones."""
    return int((vectors @ vectors.sum(axis=0)).argmax())


def budget(senses: int) -> int:
    """Return how many examples each of so many senses may show."""
    return min(MOST_OF_A_SENSE, MOST // max(1, senses))


def representatives(vectors: Vectors, peaks: NDArray[np.float32], n: int) -> list[int]:
    """Return at most n rows of a sense: its medoid, the strongest, then those least alike.

    The latter are taken from one quantile of activation after the other, each time the row whose
    nearest chosen one is farthest away, so that what is shown is as varied as the sense.
    """
    ranked = np.lexsort((np.arange(len(peaks)), -peaks))
    chosen = list(dict.fromkeys([medoid(vectors), *ranked[:_STRONGEST].tolist()]))[:n]
    quantiles = [part.tolist() for part in np.array_split(ranked, _QUANTILES)]
    nearest = (vectors @ vectors[chosen].T).max(axis=1)
    turn = 0
    while len(chosen) < min(n, len(vectors)):
        left = [i for i in quantiles[turn % _QUANTILES] if i not in chosen]
        turn += 1
        if left:
            farthest = left[int(nearest[left].argmin())]
            chosen.append(farthest)
            nearest = np.maximum(nearest, vectors @ vectors[farthest])
    return chosen


def nearest_sense(vectors: Vectors, senses: Sequence[Vectors]) -> NDArray[np.int64]:
    """Return for each row the sense whose members are nearest in the mean."""
    means = np.stack([sense.mean(axis=0) for sense in senses])
    found: NDArray[np.int64] = (vectors @ means.T).argmax(axis=1)
    return found
