"""The keyword method: learn an SAE's background, then sort and word one feature after another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scopebook.labeling_methods import KEYWORDS
from scopebook_workers.labeling import clusters
from scopebook_workers.labeling.clusters import WindowVectors
from scopebook_workers.labeling.evidence import WINDOW_TOKENS, FeatureEvidence
from scopebook_workers.labeling.keywords import Background, keywords_of
from scopebook_workers.labeling.reading import Reader, Window
from scopebook_workers.labeling.sampling import STRONG, strong_examples
from scopebook_workers.labeling.wording import MIN_SHARE, Findings, find, word, word_mixed

#: See `scopebook.labeling_methods`.
METHOD: Final = KEYWORDS
#: Features, and at most so many of their windows, from which the background is learnt.
SAMPLE_FEATURES = 300
SAMPLE_WINDOWS = 6_000
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


class KeywordLabeler:
    """Words the features of one SAE; made from a sample of them."""

    def __init__(self, sample: Iterable[FeatureEvidence], *, seed: int = SEED) -> None:
        self._reader = Reader()
        features = [
            [self._reader.window(evidence.firings[i]) for i in strong_examples(evidence)]
            for evidence in sample
        ]
        windows = [window for feature in features for window in feature]
        self._vectors = WindowVectors(self._folded(_some(windows, seed)), seed=seed)
        self._background = Background(self._vectors.shares, self._vectors.n_windows)
        self._base = self._reader.origin_shares()
        calibrated = clusters.calibrate(
            [self._embed(feature) for feature in features if len(feature) >= clusters.MIN_EXAMPLES],
            seed=seed,
        )
        self.calibrated = calibrated is not None
        self.threshold = clusters.DEFAULT_THRESHOLD if calibrated is None else calibrated

    def provenance(self) -> dict[str, Any]:
        """Return what the wordings depend on besides the examples."""
        return {
            "embedder": f"tf-idf+svd-{clusters.DIMENSIONS}",
            "window_tokens": WINDOW_TOKENS,
            "strong": STRONG,
            "threshold": round(self.threshold, 4),
            "calibrated": self.calibrated,
            "sample_windows": self._vectors.n_windows,
        }

    def _folded(self, windows: Sequence[Window]) -> list[NDArray[np.int32]]:
        folds = self._reader.vocabulary.folds()
        return [folds[window.ids] for window in windows]

    def _embed(self, windows: Sequence[Window]) -> clusters.Vectors:
        return self._vectors.embed(self._folded(windows))

    def word(self, evidence: FeatureEvidence) -> FeatureWords | None:
        """Return the feature's wording and senses; None without examples."""
        strong = strong_examples(evidence)
        windows = [self._reader.window(evidence.firings[i]) for i in strong]
        if not windows:
            return None
        groups = self._senses(windows)
        whole = self._find(windows, evidence.top_tokens)
        if len(groups) == 1:
            sense = SenseWords(1.0, strong, list(whole.keywords), None)
            return FeatureWords(word(whole), [sense])
        parts = [self._find([windows[i] for i in group]) for group in groups]
        senses = [
            SenseWords(
                len(group) / len(windows),
                [strong[i] for i in group],
                list(part.keywords),
                word(part),
            )
            for group, part in zip(groups, parts, strict=True)
        ]
        covered = sum(sense.share for sense in senses[:3])
        text = _word_whole(whole, parts) if covered >= MIN_SHARE else word(whole)
        return FeatureWords(text, senses)

    def _senses(self, windows: Sequence[Window]) -> list[list[int]]:
        if len(windows) < 2 * clusters.MIN_WINDOWS:
            return [list(range(len(windows)))]
        placed = clusters.cut(clusters.joining_distances(self._embed(windows)), self.threshold)
        return [np.flatnonzero(placed == sense).tolist() for sense in range(placed.max() + 1)]

    def _find(
        self, windows: Sequence[Window], top_tokens: Sequence[tuple[bytes, float]] = ()
    ) -> Findings:
        keywords = keywords_of(windows, self._reader.vocabulary, self._background)
        return find(windows, keywords, base=self._base, top_tokens=top_tokens)


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
