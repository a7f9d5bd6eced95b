"""Planted features sorted into senses by the labeler's own code; shared by the tiers that do."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from benchmarks.labels.encoders import encoder_of
from benchmarks.labels.planted_text import KINDS, FeatureKind, PlantedFeature, plant
from numpy.typing import NDArray

from scopebook_workers.labeling.calibration import calibrate
from scopebook_workers.labeling.clusters import agreement, cut, joining_distances
from scopebook_workers.labeling.encoding import CentredVectors
from scopebook_workers.labeling.keywords import Background, keywords_of
from scopebook_workers.labeling.reading import Reader, Window
from scopebook_workers.labeling.window_vectors import (
    TermVectors,
    Vectors,
    WindowEmbedder,
    embed_each,
)

FEATURES: Final = 150
#: Of the features that the threshold is calibrated on, and of those that are judged.
CALIBRATED_ON, JUDGED = 1, 2
SHARES: Final[dict[FeatureKind, float]] = {
    "one": 2 / 3,
    "union": 1 / 6,
    "word": 1 / 6,
}


@dataclass(frozen=True, eq=False)
class Sorted:
    """A planted feature, and the sense that each of its examples was put in; -1 for none."""

    feature: PlantedFeature
    windows: Sequence[Window]
    placed: NDArray[np.int64]

    @property
    def agreement(self) -> float:
        """The adjusted Rand index with the planted senses."""
        return agreement(self.placed, self.feature.senses)

    @property
    def exact(self) -> bool:
        """Whether as many senses were found as planted."""
        return int(self.placed.max()) + 1 == self.feature.k


@dataclass(frozen=True, eq=False)
class Judged:
    """All judged features, by kind, with what their keywords are looked up in."""

    by_kind: dict[FeatureKind, list[Sorted]]
    threshold: float
    reader: Reader
    background: Background

    def keywords(self, windows: Sequence[Window]) -> list[str]:
        """Return the keywords of some windows, best first."""
        return keywords_of(windows, self.reader.vocabulary, self.background)


@cache
def judge(size: float = 1.0, seed: int = JUDGED, embedder: str | None = None) -> Judged:
    """Sort new features by a threshold that was calibrated on others.

    As of a release that is labelled, not all of those have one sense: one third has several.
    `embedder` names a model that gives the windows their vectors; None: their terms do.
    """
    n = max(12, round(FEATURES * size))
    reader = Reader()
    known = [
        _windows(reader, feature)
        for kind, share in SHARES.items()
        for feature in plant(kind, round(n * share), seed=CALIBRATED_ON)
    ]
    judged = {kind: plant(kind, n, seed=seed) for kind in KINDS}
    # The vectors and the background are learnt from both, as a labeler learns from a release.
    read = {kind: [_windows(reader, feature) for feature in judged[kind]] for kind in KINDS}
    every = [w for part in (known, *read.values()) for feature in part for w in feature]
    chosen = np.sort(np.random.default_rng(0).permutation(len(every))[:6_000])
    learnt = [every[i] for i in chosen]
    vectors: WindowEmbedder = TermVectors(learnt, reader.vocabulary)
    if embedder is not None:
        vectors = CentredVectors(encoder_of(embedder), learnt)
    threshold = calibrate(embed_each(vectors, known))
    if threshold is None:
        raise RuntimeError(f"{len(known)} features of {FEATURES} are too few to calibrate on.")
    by_kind = {
        kind: [
            Sorted(feature, windows, _place(own, threshold))
            for feature, windows, own in zip(
                judged[kind], read[kind], embed_each(vectors, read[kind]), strict=True
            )
        ]
        for kind in KINDS
    }
    return Judged(by_kind, threshold, reader, Background.learn(learnt, reader.vocabulary))


def _windows(reader: Reader, feature: PlantedFeature) -> list[Window]:
    return [reader.window(firing) for firing in feature.evidence.firings]


def _place(vectors: Vectors, threshold: float) -> NDArray[np.int64]:
    return cut(joining_distances(vectors), threshold)


def whole_share(found: Sequence[Sorted]) -> float:
    """Return the share of features that were kept whole."""
    return float(np.mean([int(one.placed.max()) == 0 for one in found]))


def mean_agreement(found: Sequence[Sorted]) -> float:
    """Return the mean adjusted Rand index."""
    return float(np.mean([one.agreement for one in found]))


def exact_share(found: Sequence[Sorted]) -> float:
    """Return the share of features of which the right number of senses was found."""
    return float(np.mean([one.exact for one in found]))
