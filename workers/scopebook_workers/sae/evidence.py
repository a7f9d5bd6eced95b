"""What a collection says of each feature: density, flags, top tokens, tags and examples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float32, Int32, Int64

from scopebook.packing import BEST, SAMPLE, ExampleSet
from scopebook_workers.sae.candidates import Candidates, Limits, best_and_sample
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.statistics import STEPS_PER_UNIT
from scopebook_workers.sae.token_draws import TokenDraws

TOP_TOKENS: Final = 20
LEAST_TAG_SHARE: Final = 0.05
DENSE_SHARE: Final = 0.1
ONE_TOKEN_SHARE: Final = 0.9
ONE_POSITION_SHARE: Final = 0.9
#: Of a feature's activation that falls on masked tokens, or of its firings in one octave.
REGISTER_SHARE: Final = 0.5
ONE_OCTAVE_SHARE: Final = 0.9
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
    #: Row ids of the first and the last context that fires it; None if it never fired.
    first_context_id: int | None
    last_context_id: int | None
    histogram: Int64[np.ndarray, " bins"]
    top_tokens: list[tuple[int, float]]
    #: Whether the shares are of all firings, not of a sample.
    top_tokens_exact: bool
    #: `(tag, share of the firing contexts, share divided by the tag's share of all contexts)`.
    tags: list[tuple[str, float, float]]
    examples: ExampleSet


def feature_evidence(state: FeatureState, tag_names: Sequence[str]) -> Iterator[FeatureEvidence]:
    """Yield every feature's evidence in order of the index, those that never fired too."""
    measured = _Measured(state)
    examples = _Examples(state.candidates(), state.limits, len(measured.count))
    draws = _Draws(state.draws(), state.limits.draws, len(measured.count))
    for index in range(len(measured.count)):
        count, contexts = int(measured.count[index]), int(measured.contexts[index])
        top_tokens, exact = draws.of(index)
        yield FeatureEvidence(
            index=index,
            count=count,
            contexts=contexts,
            density=count / max(measured.tokens, 1),
            mean=measured.total[index] / STEPS_PER_UNIT / count if count else 0.0,
            max=float(measured.largest[index]),
            flags=_flags(measured, index, top_tokens),
            first_context_id=int(measured.first_context[index]) if count else None,
            last_context_id=int(measured.last_context[index]) if count else None,
            histogram=measured.histogram[index],
            top_tokens=top_tokens[:TOP_TOKENS],
            top_tokens_exact=exact,
            tags=_tags(measured, index, tag_names),
            examples=examples.of(index, contexts),
        )


class _Measured:
    """The statistics as arrays, which are quicker to look into than tensors."""

    def __init__(self, state: FeatureState) -> None:
        statistics = state.statistics
        self.tokens, self.all_contexts = statistics.tokens, statistics.contexts
        self.count: Int64[np.ndarray, " d_sae"] = statistics.count.cpu().numpy()
        arrays = statistics.arrays()
        self.contexts: Int64[np.ndarray, " d_sae"] = arrays["firing_contexts"]
        self.total: Int64[np.ndarray, " d_sae"] = arrays["total"]
        self.masked_total: Int64[np.ndarray, " d_sae"] = arrays["masked_total"]
        self.masked_count: Int64[np.ndarray, " d_sae"] = arrays["masked_count"]
        self.largest: Float32[np.ndarray, " d_sae"] = arrays["largest"]
        self.first_context: Int64[np.ndarray, " d_sae"] = arrays["first_context"]
        self.last_context: Int64[np.ndarray, " d_sae"] = arrays["last_context"]
        self.histogram: Int64[np.ndarray, "d_sae bins"] = arrays["histogram"]
        self.at_one_position: Int32[np.ndarray, " d_sae"] = arrays["by_position"].max(axis=1)
        self.by_tag: Int32[np.ndarray, "d_sae tag"] = arrays["by_tag"]
        self.contexts_by_tag: Int64[np.ndarray, " tag"] = arrays["contexts_by_tag"]
        pairs = self.histogram[:, 1:] + self.histogram[:, :-1]
        self.in_one_octave: Int64[np.ndarray, " d_sae"] = pairs.max(axis=1)


def _flags(measured: _Measured, index: int, top: Sequence[tuple[int, float]]) -> list[str]:
    count, masked = int(measured.count[index]), int(measured.masked_count[index])
    total, on_masked = int(measured.total[index]), int(measured.masked_total[index])
    enough = count >= FEW_FIRINGS
    dense = count > DENSE_SHARE * measured.tokens
    claims = {
        "dead": count == 0,
        "dense": dense,
        "token": enough and top[0][1] >= ONE_TOKEN_SHARE,
        "position": enough and measured.at_one_position[index] >= ONE_POSITION_SHARE * count,
        "register": (masked >= FEW_FIRINGS and on_masked >= REGISTER_SHARE * (total + on_masked))
        or (dense and enough and measured.in_one_octave[index] >= ONE_OCTAVE_SHARE * count),
    }
    return [flag for flag, holds in claims.items() if holds]


def _tags(measured: _Measured, index: int, names: Sequence[str]) -> list[tuple[str, float, float]]:
    """Return the tags of at least 5 % of the firing contexts, highest lift first."""
    firing = int(measured.contexts[index])
    counts = measured.by_tag[index]
    found = []
    for number in np.flatnonzero(counts >= max(1, LEAST_TAG_SHARE * firing)).tolist():
        share = int(counts[number]) / firing
        usual = int(measured.contexts_by_tag[number]) / measured.all_contexts
        found.append((names[number], share, share / usual))
    return sorted(found, key=lambda tag: (-tag[2], tag[0]))


class _Draws:
    """The draws of each feature."""

    def __init__(self, draws: TokenDraws, n: int, d_sae: int) -> None:
        self._draws = draws
        self._n = n
        self._borders = np.searchsorted(draws.feature, np.arange(d_sae + 1)).tolist()

    def of(self, index: int) -> tuple[list[tuple[int, float]], bool]:
        return self._draws.take(slice(*self._borders[index : index + 2])).shares(self._n)


class _Examples:
    """The examples of each feature: the best, then what the sample holds beside them.

    Both by (activation, context). A context that is among the best is not repeated in the sample.
    """

    def __init__(self, kept: Candidates, limits: Limits, d_sae: int) -> None:
        best, sample = best_and_sample(kept, limits)
        order = np.lexsort((kept.context, -kept.activation, ~best, kept.feature))
        self._kept = kept.take(order)
        self._best, self._sample = best[order], sample[order]
        self._offsets = self._kept.offsets()
        peak = self._kept.peak.astype(np.int32)
        self._start = np.maximum(peak - limits.left, 0)
        self._end = np.minimum(peak + limits.right + 1, self._kept.length.astype(np.int32))
        self._peak = peak
        self._borders = np.searchsorted(self._kept.feature, np.arange(d_sae + 1)).tolist()

    def of(self, index: int, firing_contexts: int) -> ExampleSet:
        kept, rows = self._kept, slice(*self._borders[index : index + 2])
        best, activation = self._best[rows], kept.activation[rows]
        offsets = self._offsets[rows.start : rows.stop + 1]
        active = slice(int(offsets[0]), int(offsets[-1]))
        return ExampleSet(
            context_id=kept.context[rows],
            kind=np.where(best, np.uint8(BEST), np.uint8(SAMPLE)),
            activation=activation,
            quantile=_quantiles(activation, best, self._sample[rows], firing_contexts),
            peak=self._peak[rows],
            start=self._start[rows],
            end=self._end[rows],
            offsets=(offsets - offsets[0]).astype(np.int32),
            positions=kept.positions[active].astype(np.int32),
            shares=kept.shares[active],
        )


def _quantiles(
    activation: Float32[np.ndarray, " n"],
    best: np.ndarray,
    sample: np.ndarray,
    firing_contexts: int,
) -> Float32[np.ndarray, " n"]:
    """Return for each example the share of the feature's firing contexts with a smaller peak.

    Of the best it is known by their rank; of the others it is told by the sample.
    """
    descending = -activation[best]
    as_strong = np.searchsorted(descending, descending, side="right")
    drawn = np.sort(activation[sample])
    below = np.searchsorted(drawn, activation[~best], side="left")
    shares = [(firing_contexts - as_strong) / max(firing_contexts, 1), below / max(len(drawn), 1)]
    return np.concatenate(shares).astype(np.float32)
