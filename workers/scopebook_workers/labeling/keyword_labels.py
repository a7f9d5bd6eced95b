"""The keyword method: learn an SAE's background, then sort and word one feature after another."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from scopebook.labeling_methods import KEYWORDS
from scopebook.sense_resolution import KEPT_AS
from scopebook_workers.labeling import calibration, clusters
from scopebook_workers.labeling.encoding import CentredVectors, WindowEncoder
from scopebook_workers.labeling.evidence import WINDOW_TOKENS, FeatureEvidence
from scopebook_workers.labeling.keywords import Background, keywords_of
from scopebook_workers.labeling.kinds import kind_of
from scopebook_workers.labeling.material import Cluster, Material
from scopebook_workers.labeling.reading import Reader, Window
from scopebook_workers.labeling.representatives import (
    budget,
    medoid,
    nearest_sense,
    representatives,
)
from scopebook_workers.labeling.sampling import (
    SAMPLE_VERSION,
    STRONG,
    Ineligible,
    Sample,
    peaks_of,
    sample,
    strong_examples,
)
from scopebook_workers.labeling.scoring.resolution import crossed_resolution
from scopebook_workers.labeling.window_vectors import (
    TermVectors,
    Vectors,
    WindowEmbedder,
    embed_each,
)
from scopebook_workers.labeling.wording import MIN_SHARE, Findings, find, word, word_mixed

#: See `scopebook.labeling_methods`.
METHOD: Final = KEYWORDS
#: Features, and at most so many of their windows, from which the background is learnt.
SAMPLE_FEATURES: Final = 600
SAMPLE_WINDOWS: Final = 6_000
SEED: Final = 0


@dataclass(frozen=True)
class SenseWords:
    """A sense: its share of the examples, which those are, its keywords and its wording.

    An only sense has no wording of its own: the feature's is its.
    """

    share: float
    members: list[int]
    keywords: list[str]
    text: str | None


@dataclass(frozen=True)
class FeatureWords:
    """A feature's wording and its senses, largest first."""

    text: str
    senses: list[SenseWords]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """What was found of a feature: its keyword wording, and what another may word it by."""

    #: None for a feature without examples.
    words: FeatureWords | None
    material: Material | Ineligible


@dataclass(frozen=True, eq=False)
class _Read:
    """What is read of a feature: windows to word it by, in order of `positions`, and held out."""

    evidence: FeatureEvidence
    chosen: Sample | Ineligible
    positions: list[int]
    windows: list[Window]
    held_out: list[Window]


@dataclass(frozen=True, eq=False)
class _Clustered:
    """A feature's windows to word it by, in order of `positions`, and the senses among them."""

    positions: list[int]
    windows: list[Window]
    vectors: Vectors
    groups: list[list[int]]
    silhouettes: list[float | None]


class KeywordLabeler:
    """Words the features of one SAE by keywords, and chooses what others may word them by.

    Made from a sample of the features, from which it learns what is common in the corpus and how
    far apart two senses lie. Eligible features are worded by their explaining examples alone;
    the others, for which nothing is held out, by all their strong ones.
    """

    def __init__(
        self,
        features: Iterable[FeatureEvidence],
        *,
        encoder: WindowEncoder | None = None,
        seed: int = SEED,
    ) -> None:
        """`encoder` is the model that gives windows their vectors; None: their terms do."""
        self._reader = Reader()
        read = [
            self._windows(evidence, _to_explain(evidence, sample(evidence)))
            for evidence in features
        ]
        windows = _some([window for feature in read for window in feature], seed)
        vocabulary = self._reader.vocabulary
        self._embedder: WindowEmbedder = (
            TermVectors(windows, vocabulary, seed=seed)
            if encoder is None
            else CentredVectors(encoder, windows)
        )
        self._background = Background.learn(windows, vocabulary)
        self._base = self._reader.origin_shares()
        known = embed_each(
            self._embedder, [feature for feature in read if len(feature) >= clusters.MIN_EXAMPLES]
        )
        calibrated = calibration.calibrate(known, seed=seed)
        self.calibrated = calibrated is not None
        self.threshold = calibration.DEFAULT_THRESHOLD if calibrated is None else calibrated
        #: None where there are too few features to tell.
        self.resolution = crossed_resolution(known, seed=seed)

    def provenance(self) -> dict[str, Any]:
        """Return what the wordings depend on besides the examples."""
        return {
            "embedder": self._embedder.id,
            "sample": SAMPLE_VERSION,
            "window_tokens": WINDOW_TOKENS,
            "strong": STRONG,
            "threshold": round(self.threshold, 4),
            "calibrated": self.calibrated,
            "sample_windows": self._background.n_windows,
            KEPT_AS: asdict(self.resolution) if self.resolution else None,
        }

    def word(self, evidence: FeatureEvidence) -> FeatureWords | None:
        """Return the feature's wording and senses; None without examples."""
        return self.study(evidence).words

    def material(self, evidence: FeatureEvidence) -> Material | Ineligible:
        """Return what the feature may be worded by, or why only keywords may word it."""
        return self.study(evidence).material

    def study(self, evidence: FeatureEvidence) -> Study:
        """Return both `word` and `material` for the work of one."""
        [study] = self.study_all([evidence])
        return study

    def study_all(self, features: Sequence[FeatureEvidence]) -> list[Study]:
        """Return the study of each feature; all windows are embedded together."""
        read = [self._read(evidence) for evidence in features]
        vectors = embed_each(
            self._embedder, [windows for one in read for windows in (one.windows, one.held_out)]
        )
        return [
            self._study(one, own, held_out)
            for one, own, held_out in zip(read, vectors[::2], vectors[1::2], strict=True)
        ]

    def _read(self, evidence: FeatureEvidence) -> _Read:
        chosen = sample(evidence)
        positions = _to_explain(evidence, chosen)
        held_out = [] if isinstance(chosen, str) else chosen.held_out
        return _Read(
            evidence,
            chosen,
            positions,
            self._windows(evidence, positions),
            self._windows(evidence, held_out),
        )

    def _study(self, read: _Read, vectors: Vectors, held_out: Vectors) -> Study:
        evidence, chosen = read.evidence, read.chosen
        if not evidence.firings:
            return Study(words=None, material="silent")
        clustered = self._cluster(read, vectors)
        parts = [self._find([clustered.windows[i] for i in own]) for own in clustered.groups]
        words = self._words(evidence, clustered, parts)
        if isinstance(chosen, str):
            return Study(words=words, material=chosen)
        material = self._material(evidence, chosen, clustered, parts, held_out)
        return Study(words=words, material=material)

    def _windows(self, evidence: FeatureEvidence, positions: Sequence[int]) -> list[Window]:
        return [self._reader.window(evidence.firings[i]) for i in positions]

    def _cluster(self, read: _Read, vectors: Vectors) -> _Clustered:
        windows = read.windows
        placed = np.zeros(len(windows), dtype=np.int64)
        if len(windows) >= 2 * clusters.MIN_WINDOWS:
            placed = clusters.cut(clusters.joining_distances(vectors), self.threshold)
        groups = [np.flatnonzero(placed == sense).tolist() for sense in range(placed.max() + 1)]
        return _Clustered(
            read.positions, windows, vectors, groups, clusters.silhouettes(vectors, placed)
        )

    def _words(
        self, evidence: FeatureEvidence, clustered: _Clustered, parts: Sequence[Findings]
    ) -> FeatureWords:
        windows, positions = clustered.windows, clustered.positions
        keywords = parts[0].keywords if len(parts) == 1 else self._keywords(windows)
        whole = find(windows, keywords, base=self._base, top_tokens=evidence.top_tokens)
        if len(parts) == 1:
            sense = SenseWords(1.0, sorted(positions), list(whole.keywords), None)
            return FeatureWords(word(whole), [sense])
        senses = [
            SenseWords(
                len(group) / len(windows),
                sorted(positions[i] for i in group),
                list(part.keywords),
                word(part),
            )
            for group, part in zip(clustered.groups, parts, strict=True)
        ]
        covered = sum(sense.share for sense in senses[:3])
        text = _word_whole(whole, parts) if covered >= MIN_SHARE else word(whole)
        return FeatureWords(text, senses)

    def _material(
        self,
        evidence: FeatureEvidence,
        chosen: Sample,
        clustered: _Clustered,
        parts: Sequence[Findings],
        held_out: Vectors,
    ) -> Material:
        nearest = nearest_sense(held_out, [clustered.vectors[own] for own in clustered.groups])
        peaks = peaks_of(evidence.firings)
        found = []
        for sense, own in enumerate(clustered.groups):
            vectors = clustered.vectors[own]
            members = [clustered.positions[i] for i in own]
            shown = representatives(vectors, peaks[members], budget(len(parts)))
            found.append(
                Cluster(
                    members=members,
                    medoid=members[medoid(vectors)],
                    share=len(own) / len(clustered.windows),
                    keywords=list(parts[sense].keywords),
                    representatives=[members[i] for i in shown],
                    held_out=[
                        chosen.held_out[i] for i in np.flatnonzero(nearest == sense).tolist()
                    ],
                    silhouette=clustered.silhouettes[sense],
                )
            )
        return Material(
            kind=kind_of(evidence),
            firings=evidence.firings,
            clusters=found,
            unassigned=1 - sum(map(len, clustered.groups)) / len(clustered.windows),
            held_out=chosen.held_out,
        )

    def _find(self, windows: Sequence[Window]) -> Findings:
        return find(windows, self._keywords(windows), base=self._base)

    def _keywords(self, windows: Sequence[Window]) -> list[str]:
        return keywords_of(windows, self._reader.vocabulary, self._background)


def embedded_examples(evidence: FeatureEvidence) -> list[int]:
    """Return which examples of a feature are embedded when it is studied."""
    chosen = sample(evidence)
    held_out = [] if isinstance(chosen, str) else list(chosen.held_out)
    return _to_explain(evidence, chosen) + held_out


def _to_explain(evidence: FeatureEvidence, chosen: Sample | Ineligible) -> list[int]:
    return strong_examples(evidence) if isinstance(chosen, str) else list(chosen.explain)


def _word_whole(whole: Findings, parts: Sequence[Findings]) -> str:
    """Word a feature of several senses: as one where they share an origin, else as a mixture."""
    phrases = list(dict.fromkeys(part.phrase for part in parts[:3] if part.phrase))
    if whole.kind != "context":
        return word(whole, origins=phrases if len(phrases) > 1 else ())
    if len(phrases) > 1 or not whole.phrase:
        return word_mixed(parts)
    return word(whole)


def _some(windows: list[Window], seed: int) -> list[Window]:
    if len(windows) <= SAMPLE_WINDOWS:
        return windows
    chosen = np.random.default_rng(seed).choice(len(windows), SAMPLE_WINDOWS, replace=False)
    return [windows[i] for i in np.sort(chosen)]
