"""T0: simulated geometry; does the clustering find senses whose vectors are known?"""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from benchmarks.labels.planted_geometry import LEVELS, Simulated, simulate
from benchmarks.labels.result import Gate, TierResult
from sklearn.cluster import KMeans

from scopebook_workers.labeling.calibration import calibrate
from scopebook_workers.labeling.clusters import agreement, cut, joining_distances

WINDOWS: Final = 40
REPEATS: Final = 20
_CALIBRATED_ON: Final = 60


def run(*, size: float = 1.0) -> TierResult:
    """Calibrate per level of difficulty on one-sense features, judge features of 1 to 4 senses."""
    begun = time.perf_counter()
    rng = np.random.default_rng(0)
    placed = [
        pair for level in LEVELS for pair in _level(rng, level, max(4, round(REPEATS * size)))
    ]
    single = [(feature, found) for feature, found in placed if feature.k == 1]
    several = [(feature, found) for feature, found in placed if feature.k > 1]
    by_five = np.mean([_k_means_keeps(feature) for feature, _ in single])
    gates = (
        Gate(name="one sense kept whole", value=_whole(single), bound=0.95),
        Gate(name="right number of senses", value=_exact(several), bound=0.70),
        Gate(name="agreement (ARI)", value=_agreement(placed), bound=0.88),
        Gate(
            name="one sense kept whole by k-means, k = 5",
            value=float(by_five),
            bound=0.95,
            at_least=False,
        ),
    )
    title = f"senses of {len(placed)} simulated features, {WINDOWS} windows each"
    return TierResult(
        tier="T0",
        title=title,
        gates=gates,
        seconds=time.perf_counter() - begun,
        notes=[f"ARI over features of 2 to 4 senses: {_agreement(several):.2f}"],
    )


Placed = Sequence[tuple[Simulated, "np.ndarray"]]


def _level(
    rng: np.random.Generator, level: tuple[float, float], repeats: int
) -> list[tuple[Simulated, np.ndarray]]:
    known = [
        simulate(rng, level=level, k=1, n=WINDOWS, skewed=False).vectors
        for _ in range(_CALIBRATED_ON)
    ]
    threshold = calibrate(known)
    if threshold is None:
        raise RuntimeError(f"{_CALIBRATED_ON} simulated features are too few to calibrate on.")
    features = [
        simulate(rng, level=level, k=k, n=WINDOWS, skewed=skewed)
        for _ in range(repeats)
        for k in (1, 2, 3, 4)
        for skewed in (False, True)
    ]
    return [(f, cut(joining_distances(f.vectors), threshold)) for f in features]


def _whole(placed: Placed) -> float:
    return float(np.mean([found.max() == 0 for _, found in placed]))


def _exact(placed: Placed) -> float:
    return float(np.mean([found.max() + 1 == feature.k for feature, found in placed]))


def _agreement(placed: Placed) -> float:
    """Strangers count only where they are put: they belong to no sense that could be split."""
    return float(
        np.mean(
            [
                agreement(found[feature.senses >= 0], feature.senses[feature.senses >= 0])
                for feature, found in placed
            ]
        )
    )


def _k_means_keeps(feature: Simulated) -> bool:
    found = KMeans(5, n_init=1, random_state=0).fit_predict(feature.vectors)
    sizes = np.bincount(found)
    return int((sizes >= 0.12 * len(found)).sum()) < 2
