"""Sense resolution: does clustering keep one real feature whole, and tell two of them apart?

What a real feature's senses are, nobody knows. But two halves of one feature are one feature, and
half of one beside half of another are two: how often clustering sees that tells how far to trust
the senses that it finds.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook.errors import InvalidInputError
from scopebook.sense_resolution import SenseResolution
from scopebook_workers.labeling import clusters
from scopebook_workers.labeling.calibration import calibrate
from scopebook_workers.labeling.clusters import Vectors

#: Pairs of features that are mixed, and single ones that are tried.
TRIALS: Final = 200
#: With fewer features, half of them say nothing about the other half.
FEWEST: Final = 20

Joined = Callable[[Vectors], NDArray[np.float32]]
Cut = Callable[[NDArray[np.float32], float], NDArray[np.int64]]


def sense_resolution(
    features: Sequence[Vectors],
    threshold: float,
    *,
    joined: Joined = clusters.joining_distances,
    cut: Cut = clusters.cut,
    seed: int = 0,
) -> SenseResolution:
    """Try clustering on features (each window, dimension) that its threshold was not chosen by.

    Mixtures take as many windows of each of two features, and have no more than a single one.
    """
    usable = [vectors for vectors in features if len(vectors) >= clusters.MIN_EXAMPLES]
    if len(usable) < 2:
        raise InvalidInputError(
            f"Sense resolution needs two features with {clusters.MIN_EXAMPLES} examples each, "
            f"and there are {len(usable)}; collect more text."
        )
    rng = np.random.default_rng(seed)
    singles = [usable[i] for i in rng.permutation(len(usable))[:TRIALS].tolist()]
    split = [int(cut(joined(vectors), threshold).max()) > 0 for vectors in singles]
    agreed: list[float] = []
    parted: list[bool] = []
    for _ in range(min(TRIALS, len(usable) * (len(usable) - 1) // 2)):
        first, second = (usable[i] for i in rng.choice(len(usable), 2, replace=False).tolist())
        mixed, truth = _mixed(first, second, rng)
        placed = cut(joined(mixed), threshold)
        agreed.append(clusters.agreement(placed, truth))
        parted.append(int(placed.max()) > 0)
    return SenseResolution(
        split_rate=float(np.mean(split)),
        conflated_ari=float(np.mean(agreed)),
        parted_rate=float(np.mean(parted)),
        n_single=len(singles),
        n_pairs=len(agreed),
    )


def crossed_resolution(features: Sequence[Vectors], *, seed: int = 0) -> SenseResolution | None:
    """Return what calibrating on every second of the features is worth on the others.

    So it speaks of the way in which a threshold is found, and of one found on half as many
    features as are at hand. None for fewer than `FEWEST` features.
    """
    usable = [vectors for vectors in features if len(vectors) >= clusters.MIN_EXAMPLES]
    if len(usable) < FEWEST:
        return None
    threshold = calibrate(usable[::2], seed=seed)
    if threshold is None:
        return None
    return sense_resolution(usable[1::2], threshold, seed=seed)


def _mixed(
    first: Vectors, second: Vectors, rng: np.random.Generator
) -> tuple[Vectors, NDArray[np.int64]]:
    n = min(len(first), len(second)) // 2
    parts = [vectors[rng.permutation(len(vectors))[:n]] for vectors in (first, second)]
    return np.concatenate(parts), np.repeat([0, 1], n)
