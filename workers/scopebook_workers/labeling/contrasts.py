"""Choose contrasts: passages like a feature's examples in which it is known to be silent."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

import numpy as np

from scopebook_workers.labeling.material import Cluster, Material, Quiet
from scopebook_workers.labeling.prompts import CONTRASTS
from scopebook_workers.labeling.reading import Reader, Window
from scopebook_workers.labeling.sampling import may_contrast
from scopebook_workers.labeling.scoring.negatives import (
    Chooser,
    Search,
    beside_peaks,
    nearest_windows,
)
from scopebook_workers.labeling.scoring.panel import Panel, as_firing
from scopebook_workers.labeling.window_vectors import TermVectors, Vectors

#: Shown examples of a sense that a contrast is held against: its medoid, and the strongest.
_LIKE: Final = 1


class ContrastFinder:
    """Finds the contrasts of one SAE's features in its panel, where silence is a fact.

    Half of them lie nearest to the feature's examples by TF-IDF, half are where features with
    near directions fire most. All are of documents that no label is tried on. The panel and a
    feature's material decide which; nothing is drawn.
    """

    def __init__(self, panel: Panel) -> None:
        self._reader = Reader()
        windows = [self._reader.window(as_firing(quiet)) for quiet in panel.quiets()]
        self._embedder = TermVectors(windows, self._reader.vocabulary) if windows else None
        kept = _may_be_shown(panel)
        shown = [window for window, one in zip(windows, kept, strict=True) if one]
        self._panel = panel.only(kept)
        self._search = Search(
            panel=self._panel, windows=self._panel.quiets(), vectors=self._embed(shown)
        )

    def find(
        self, materials: Mapping[int, Material], neighbours: Mapping[int, Sequence[int]]
    ) -> dict[int, list[Quiet]]:
        """Return at most three contrasts of each feature, near ones and neighbours' in turn.

        Keys and neighbours (the nearest first) are numbers of features in the SAE.
        """
        if not self._search.windows:
            return {feature: [] for feature in materials}
        vectors = self._like(materials)
        return {
            feature: self._choose(feature, material, vectors[feature], neighbours[feature])
            for feature, material in materials.items()
        }

    def _choose(
        self, feature: int, material: Material, like: Vectors, neighbours: Sequence[int]
    ) -> list[Quiet]:
        chooser = Chooser(self._panel, feature, material.firings)
        near = chooser.take(nearest_windows(self._search, like), CONTRASTS)
        beside = chooser.take(beside_peaks(self._panel, feature, neighbours), CONTRASTS)
        turns = zip_longest(near, beside)
        return [quiet for turn in turns for quiet in turn if quiet is not None][:CONTRASTS]

    def _like(self, materials: Mapping[int, Material]) -> dict[int, Vectors]:
        """Return vectors of the examples that contrasts are held against, embedded at once."""
        places = {
            feature: [at for cluster in material.clusters for at in _leading(cluster)]
            for feature, material in materials.items()
        }
        windows = [
            self._reader.window(materials[feature].firings[at])
            for feature, found in places.items()
            for at in found
        ]
        vectors = self._embed(windows)
        ends = np.cumsum([len(found) for found in places.values()])[:-1]
        return dict(zip(places, np.split(vectors, ends), strict=True))

    def _embed(self, windows: Sequence[Window]) -> Vectors:
        if self._embedder is None or not windows:
            return np.empty((0, 0), dtype=np.float32)
        return self._embedder.embed(windows)


def _leading(cluster: Cluster) -> Sequence[int]:
    return cluster.representatives[:_LIKE]


def _may_be_shown(panel: Panel) -> list[bool]:
    """Tell of each context whether it may be shown; none that repeats one which may not."""
    own = [may_contrast(passage.document_hash) for passage in panel.passages]
    others = [p for p, may in zip(panel.passages, own, strict=True) if not may]
    groups, families = {p.group for p in others}, {p.family for p in others}
    return [
        may and passage.group not in groups and passage.family not in families
        for passage, may in zip(panel.passages, own, strict=True)
    ]
