"""Simulated windows: unit vectors of one to four senses, with strangers among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DIMENSIONS: Final = 384
#: Mean cosine of two windows of one sense, and of two senses, from hard to easy.
LEVELS: Final = ((0.35, 0.15), (0.45, 0.18), (0.55, 0.22), (0.65, 0.25))
OUTLIERS: Final = 0.10
SKEWED: Final = (0.5, 0.25, 0.15, 0.10)
#: What all windows of the corpus have in common.
_SHARED: Final = np.eye(DIMENSIONS)[0]


@dataclass(frozen=True, eq=False)
class Simulated:
    """A feature's windows (window, dimension), and each one's sense; -1 for strangers."""

    vectors: NDArray[np.float32]
    senses: NDArray[np.int64]

    @property
    def k(self) -> int:
        """How many senses were planted."""
        return int(self.senses.max()) + 1


def simulate(
    rng: np.random.Generator, *, level: tuple[float, float], k: int, n: int, skewed: bool
) -> Simulated:
    """Return n windows of k senses; a tenth of them has no more than the corpus in common."""
    within, between = level
    strangers = round(OUTLIERS * n)
    sizes = _sizes(n - strangers, k, skewed=skewed)
    own = _unit(rng, k)
    senses = np.repeat(np.arange(k), sizes)
    members = np.sqrt(within - between) * own[senses]
    # A stranger lies as near to the corpus' common direction, but along a direction of its own.
    alone = np.sqrt(within - between) * _unit(rng, strangers)
    vectors = (
        np.sqrt(between) * _SHARED
        + np.concatenate([members, alone])
        + np.sqrt(1 - within) * _unit(rng, n)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = rng.permutation(n)
    truth = np.concatenate([senses, np.full(strangers, -1)])
    return Simulated(vectors[order].astype(np.float32), truth[order])


def _sizes(n: int, k: int, *, skewed: bool) -> Sequence[int]:
    if not skewed:
        return [n // k + (i < n % k) for i in range(k)]
    shares = np.asarray(SKEWED[:k]) / sum(SKEWED[:k])
    sizes = np.maximum(np.round(shares * n), 1).astype(int)
    sizes[0] += n - sizes.sum()
    return [int(size) for size in sizes]


def _unit(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    vectors = rng.normal(size=(n, DIMENSIONS))
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
