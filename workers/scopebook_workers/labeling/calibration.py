"""The distance at which two features' windows fall apart and one feature's do not."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.clusters import (
    MIN_EXAMPLES,
    Vectors,
    agreement,
    cut,
    joining_distances,
)

#: Where nothing can be calibrated: too few features, or too few examples.
DEFAULT_THRESHOLD: Final = 0.70
SINGLES: Final = 200
PAIRS: Final = 200
_MIN_FEATURES: Final = 4
#: Share of the features that is calibrated on: those whose windows are most alike.
_COHERENT: Final = 1 / 3
#: At the last one nothing falls apart.
_GRID: Final = np.append(np.linspace(0.10, 1.20, 56), 2.0)
#: How much below the best score a threshold may be.
_TOLERANCE: Final = 0.05
#: What the best score must gain over keeping everything whole, which scores 1.
_GAIN: Final = 0.1


def calibrate(features: Sequence[Vectors], *, seed: int = 0) -> float | None:
    """Return the threshold for `cut` that suits these features' unit vectors, or None.

    Half of the windows of one feature are mixed with half of another's: that union should split,
    each feature alone should not. The score of a threshold is the share of single features kept
    whole plus the mean agreement (adjusted Rand index) with the known halves of the unions; the
    middle of the best stretch is taken, so that a lucky peak does not decide. Only the features
    whose windows are most alike are used: many of the others have several senses themselves, and
    counting them as single ones would teach to split nothing. Where even so hardly anything is
    gained by splitting, the threshold is one at which nothing falls apart.
    """
    usable = [vectors for vectors in features if len(vectors) >= MIN_EXAMPLES]
    if len(usable) < _MIN_FEATURES:
        return None
    usable = _most_coherent(usable)
    rng = np.random.default_rng(seed)
    singles = [usable[i] for i in rng.permutation(len(usable))[:SINGLES]]
    unions = [_union(*pair, rng) for pair in _pairs(usable, rng)]
    kept = np.mean([_whole(joining_distances(vectors)) for vectors in singles], axis=0)
    parted = np.mean([_agreements(joining_distances(v), truth) for v, truth in unions], axis=0)
    score = kept + parted
    if score.max() < score[-1] + _GAIN:
        return float(_GRID[-1])
    best = np.flatnonzero(score >= score.max() - _TOLERANCE)
    return float(_GRID[best[len(best) // 2]])


def _most_coherent(features: Sequence[Vectors]) -> list[Vectors]:
    """Return the features of largest mean cosine between two windows, in their order."""
    coherence = [
        (np.square(vectors.sum(axis=0)).sum() - len(vectors)) / (len(vectors) * (len(vectors) - 1))
        for vectors in features
    ]
    n = max(_MIN_FEATURES, round(_COHERENT * len(features)))
    chosen = np.sort(np.argsort(-np.asarray(coherence), kind="stable")[:n])
    return [features[i] for i in chosen]


def _pairs(features: Sequence[Vectors], rng: np.random.Generator) -> list[tuple[Vectors, Vectors]]:
    firsts = rng.permutation(np.arange(PAIRS) % len(features))
    steps = rng.integers(1, len(features), size=PAIRS)
    seconds = (firsts + steps) % len(features)
    return [(features[i], features[j]) for i, j in zip(firsts, seconds, strict=True)]


def _union(
    first: Vectors, second: Vectors, rng: np.random.Generator
) -> tuple[Vectors, NDArray[np.int64]]:
    parts = [
        vectors[rng.permutation(len(vectors))[: max(4, len(vectors) // 2)]]
        for vectors in (first, second)
    ]
    truth = np.repeat([0, 1], [len(part) for part in parts])
    return np.concatenate(parts), truth


def _whole(joined: NDArray[np.float32]) -> list[float]:
    return [float(cut(joined, threshold).max() == 0) for threshold in _GRID]


def _agreements(joined: NDArray[np.float32], truth: NDArray[np.int64]) -> list[float]:
    return [agreement(cut(joined, threshold), truth) for threshold in _GRID]
