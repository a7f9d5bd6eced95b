"""What a collection says of each feature: density, flags, top tokens, tags and examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int64

from scopebook.packing import BEST, SAMPLE, ExampleSet
from scopebook_workers.sae.state import Candidates, FeatureState, first_of_each
from scopebook_workers.sae.statistics import STEPS_PER_UNIT, PairSums, Statistics

TOP_TOKENS: Final = 20
LEAST_TAG_SHARE: Final = 0.05
DENSE_SHARE: Final = 0.1
ONE_TOKEN_SHARE: Final = 0.9
ONE_POSITION_SHARE: Final = 0.9
#: Below so many firings nothing is said of a single token or position.
FEW_FIRINGS: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureEvidence:
    """What was measured of one feature."""

    index: int
    count: int
    contexts: int
    density: float
    mean: float
    max: float
    flags: list[str]
    histogram: Int64[np.ndarray, " bins"]
    top_tokens: list[tuple[int, float]]
    #: `(tag, share of the firing contexts, share divided by the tag's share of all contexts)`.
    tags: list[tuple[str, float, float]]
    examples: ExampleSet


def feature_evidence(state: FeatureState, tag_names: Sequence[str]) -> Iterator[FeatureEvidence]:
    """Yield every feature's evidence in order of the index, those that never fired too."""
    statistics = state.statistics
    kept = state.candidates()
    best, sample = first_of_each(kept, state.limits)
    features = np.arange(len(statistics.count))
    borders = np.searchsorted(kept.feature, np.append(features, len(features)))
    tokens = _Slices(statistics.by_token, len(features))
    positions = _Slices(statistics.by_position, len(features))
    tags = _Slices(statistics.by_tag, len(features))
    for index in features.tolist():
        rows = np.arange(borders[index], borders[index + 1])
        top = _top_tokens(*tokens.of(index))
        yield FeatureEvidence(
            index=index,
            count=int(statistics.count[index]),
            contexts=int(statistics.firing_contexts[index]),
            density=float(statistics.count[index] / max(statistics.tokens, 1)),
            mean=_mean(statistics, index),
            max=float(statistics.largest[index]),
            flags=_flags(statistics, index, top, positions.of(index)[1]),
            histogram=statistics.histogram[index],
            top_tokens=top,
            tags=_tags(statistics, index, *tags.of(index), tag_names),
            examples=_examples(state, kept, rows[best[rows]], rows[sample[rows]]),
        )


class _Slices:
    """The pairs of each feature."""

    def __init__(self, sums: PairSums, d_sae: int) -> None:
        feature, self._items, self._sums = sums.pairs()
        self._borders = np.searchsorted(feature, np.arange(d_sae + 1))

    def of(self, index: int) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        part = slice(self._borders[index], self._borders[index + 1])
        return self._items[part], self._sums[part]


def _mean(statistics: Statistics, index: int) -> float:
    count = int(statistics.count[index])
    return float(statistics.total[index] / STEPS_PER_UNIT / count) if count else 0.0


def _top_tokens(
    tokens: Int64[np.ndarray, " n"], sums: Int64[np.ndarray, " n"]
) -> list[tuple[int, float]]:
    """Return the tokens with the largest share of the activation, ties by token id."""
    total = int(sums.sum())
    if total == 0:
        return []
    order = np.lexsort((tokens, -sums))[:TOP_TOKENS]
    return [(int(tokens[i]), int(sums[i]) / total) for i in order]


def _flags(
    statistics: Statistics,
    index: int,
    top: Sequence[tuple[int, float]],
    by_position: Int64[np.ndarray, " n"],
) -> list[str]:
    count = int(statistics.count[index])
    if count == 0:
        return ["dead"]
    enough = count >= FEW_FIRINGS
    most_at_one = int(by_position.max(initial=0))
    claims = {
        "dense": count > DENSE_SHARE * statistics.tokens,
        "token": enough and bool(top) and top[0][1] >= ONE_TOKEN_SHARE,
        "position": enough and most_at_one >= ONE_POSITION_SHARE * count,
    }
    return [flag for flag, holds in claims.items() if holds]


def _tags(
    statistics: Statistics,
    index: int,
    numbers: Int64[np.ndarray, " n"],
    counts: Int64[np.ndarray, " n"],
    names: Sequence[str],
) -> list[tuple[str, float, float]]:
    """Return the tags of at least 5 % of the firing contexts, highest lift first."""
    firing = int(statistics.firing_contexts[index])
    found = []
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        share = count / firing
        usual = int(statistics.contexts_by_tag[number]) / statistics.contexts
        if share >= LEAST_TAG_SHARE:
            found.append((names[number], share, share / usual))
    return sorted(found, key=lambda tag: (-tag[2], tag[0]))


def _examples(
    state: FeatureState,
    kept: Candidates,
    best: Int64[np.ndarray, " best"],
    sample: Int64[np.ndarray, " sample"],
) -> ExampleSet:
    """Return the best, then what the sample holds beside them, each by (activation, context).

    A context that is among the best is not repeated in the sample.
    """
    beside = np.setdiff1d(sample, best)
    chosen = kept.take(np.concatenate([_strongest(kept, best), _strongest(kept, beside)]))
    feature = int(chosen.feature[0]) if len(chosen) else 0
    firing = int(state.statistics.firing_contexts[feature])
    first = chosen.activation[: len(best)]
    quantile = [
        *((firing - int((first >= peak).sum())) / firing for peak in first),
        *_quantiles(kept.activation[sample], chosen.activation[len(best) :]),
    ]
    limits = state.limits
    return ExampleSet(
        context_id=chosen.context,
        kind=np.repeat(np.asarray([BEST, SAMPLE], dtype=np.uint8), [len(best), len(beside)]),
        activation=chosen.activation,
        quantile=np.asarray(quantile, dtype=np.float32),
        peak=chosen.peak,
        start=np.maximum(chosen.peak - limits.left, 0).astype(np.int32),
        end=np.minimum(chosen.peak + limits.right + 1, chosen.length).astype(np.int32),
        offsets=chosen.offsets.astype(np.int32),
        positions=chosen.positions,
        shares=chosen.shares,
    )


def _strongest(kept: Candidates, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    return rows[np.lexsort((kept.context[rows], -kept.activation[rows]))]


def _quantiles(
    sample: Float32[np.ndarray, " sample"], peaks: Float32[np.ndarray, " n"]
) -> list[float]:
    """Return the share of the sample below each peak."""
    below = np.searchsorted(np.sort(sample), peaks, side="left")
    return [float(share) for share in below / max(len(sample), 1)]
