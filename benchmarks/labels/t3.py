"""T3: keywords; is the planted word among the first three of the sense it was planted in?"""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from benchmarks.labels.planted import Judged, Sorted, judge
from benchmarks.labels.planted_text import FeatureKind
from benchmarks.labels.result import Gate, TierResult

FIRST: Final = 3
BOUNDS: Final[dict[FeatureKind, tuple[str, float]]] = {
    "one": ("one sense", 0.98),
    "union": ("each sense of a union", 0.95),
    "word": ("each sense of one word", 0.90),
}


def run(*, size: float = 1.0) -> TierResult:
    """Judge the keywords of the senses that clustering found, not of those that were planted."""
    begun = time.perf_counter()
    judged = judge(size)
    return TierResult(
        tier="T3",
        title=f"planted word among the first {FIRST} keywords of its sense",
        gates=[
            Gate(name=name, value=_share_named(judged, judged.by_kind[kind]), bound=bound)
            for kind, (name, bound) in BOUNDS.items()
        ],
        seconds=time.perf_counter() - begun,
    )


def _share_named(judged: Judged, found: Sequence[Sorted]) -> float:
    return float(np.mean([named for one in found for named in _named(judged, one)]))


def _named(judged: Judged, one: Sorted) -> list[bool]:
    """Return for each planted sense whether the found one that holds most of it names its word."""
    keywords = {
        int(sense): judged.keywords([one.windows[i] for i in np.flatnonzero(one.placed == sense)])
        for sense in np.unique(one.placed[one.placed >= 0])
    }
    named = []
    for sense, (word, _) in enumerate(one.feature.pairs):
        places = one.placed[(one.feature.senses == sense) & (one.placed >= 0)]
        first = keywords[int(np.bincount(places).argmax())][:FIRST] if len(places) else []
        named.append(word in [keyword.casefold() for keyword in first])
    return named
