"""What a collection keeps of every feature: statistics, best contexts and a sample.

States of different contexts merge, and the result does not depend on how the contexts were cut
or in which order they came: the best are the first by (activation, context), the sample are the
first by a number drawn from feature and text. Memory depends on the number of features alone, but
for the sums by token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float16, Float32, Int32, Int64, UInt64

from scopebook_workers.sae.firings import Contexts, Firings, Groups, group_firings, starts
from scopebook_workers.sae.statistics import Statistics

#: Candidates that wait beside the kept ones before the next selection.
_POOL: Final = 100_000
_HASH_STEPS: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept: contexts per feature, and tokens around the peak."""

    best: int = 20
    sample: int = 60
    left: int = 128
    right: int = 64


@dataclass(frozen=True)
class Candidates:
    """Contexts that fire a feature, one per feature and context, with the window around the peak.

    The active tokens of candidate i are `positions[offsets[i]:offsets[i + 1]]`, with `shares` of
    its activation.
    """

    feature: Int64[np.ndarray, " candidate"]
    context: Int64[np.ndarray, " candidate"]
    lot: UInt64[np.ndarray, " candidate"]
    length: Int32[np.ndarray, " candidate"]
    activation: Float32[np.ndarray, " candidate"]
    peak: Int32[np.ndarray, " candidate"]
    offsets: Int64[np.ndarray, " borders"]
    positions: Int32[np.ndarray, " active"]
    shares: Float16[np.ndarray, " active"]

    def __len__(self) -> int:
        return len(self.feature)

    @classmethod
    def none(cls) -> "Candidates":
        """Return no candidates."""
        whole, small = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        return cls(
            whole,
            whole,
            np.empty(0, dtype=np.uint64),
            small,
            np.empty(0, dtype=np.float32),
            small,
            np.zeros(1, dtype=np.int64),
            small,
            np.empty(0, dtype=np.float16),
        )

    def take(self, index: Int64[np.ndarray, " chosen"]) -> "Candidates":
        """Return the candidates at `index`, in that order."""
        lengths = np.diff(self.offsets)[index]
        active = _spread(self.offsets[index], lengths)
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in _COLUMNS}
        return Candidates(
            **columns,
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            positions=self.positions[active],
            shares=self.shares[active],
        )

    def join(self, other: "Candidates") -> "Candidates":
        """Return these candidates followed by the others."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in (*_COLUMNS, "positions", "shares")
        }
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        return Candidates(**columns, offsets=offsets)


_COLUMNS: Final = ("feature", "context", "lot", "length", "activation", "peak")


class FeatureState:
    """The state of every feature of one SAE."""

    def __init__(
        self, statistics: Statistics, limits: Limits, kept: Candidates | None = None
    ) -> None:
        self.statistics = statistics
        self.limits = limits
        self._kept = Candidates.none() if kept is None else kept
        self._waiting: list[Candidates] = []
        d_sae = len(statistics.count)
        # What a candidate must reach to be among the best, or must not exceed for the sample.
        self._least = np.zeros(d_sae, dtype=np.float32)
        self._last_lot = np.full(d_sae, np.iinfo(np.uint64).max, dtype=np.uint64)

    @classmethod
    def empty(cls, d_sae: int, *, tags: int = 0, limits: Limits | None = None) -> "FeatureState":
        """Return the state before any context."""
        return cls(Statistics.empty(d_sae, tags), limits or Limits())

    def update(self, contexts: Contexts, firings: Firings, *, tokens: int, sinks: int) -> None:
        """Take in the firings of contexts that were not taken in yet.

        Args:
            contexts: All contexts of the block, those without a firing too.
            firings: Their firings.
            tokens: How many of their tokens could fire.
            sinks: How many were masked as activation sinks.
        """
        groups = group_firings(firings)
        self.statistics.add(contexts, firings, groups, tokens=tokens, sinks=sinks)
        lots = draw_lots(groups.feature, contexts.keys[groups.context])
        enters = (groups.activation >= self._least[groups.feature]) | (
            lots <= self._last_lot[groups.feature]
        )
        self._add(_candidates(contexts, firings, groups, lots, enters, self.limits))

    def merge(self, other: "FeatureState") -> None:
        """Take in the state of other contexts."""
        self.statistics.merge(other.statistics)
        self._add(other.candidates())

    def candidates(self) -> Candidates:
        """Return what is kept, ordered by feature and context."""
        self._select()
        return self._kept

    def _add(self, candidates: Candidates) -> None:
        self._waiting.append(candidates)
        if sum(map(len, self._waiting)) > max(_POOL, len(self._kept)):
            self._select()

    def _select(self) -> None:
        for part in self._waiting:
            self._kept = self._kept.join(part)
        self._waiting = []
        best, sample = first_of_each(self._kept, self.limits)
        self._tighten(best, sample)
        chosen = np.flatnonzero(best | sample)
        kept = self._kept
        order = np.lexsort((kept.context[chosen], kept.feature[chosen]))
        self._kept = kept.take(chosen[order])

    def _tighten(self, best: Bool[np.ndarray, " n"], sample: Bool[np.ndarray, " n"]) -> None:
        """Note the last of each full list, so that what comes after it is dropped at once."""
        feature, d_sae = self._kept.feature, len(self._least)
        full = np.bincount(feature[best], minlength=d_sae) >= self.limits.best
        least = np.full(d_sae, np.inf, dtype=np.float32)
        np.minimum.at(least, feature[best], self._kept.activation[best])
        self._least = np.where(full, least, np.float32(0))
        full = np.bincount(feature[sample], minlength=d_sae) >= self.limits.sample
        last = np.zeros(d_sae, dtype=np.uint64)
        np.maximum.at(last, feature[sample], self._kept.lot[sample])
        self._last_lot = np.where(full, last, np.iinfo(np.uint64).max)

    def arrays(self) -> dict[str, Any]:
        """Return everything as named arrays, the same for the same contexts."""
        kept = self.candidates()
        named = {f"kept.{field.name}": getattr(kept, field.name) for field in fields(kept)}
        return named | self.statistics.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, limits: Limits) -> "FeatureState":
        """Return what `arrays` was taken from."""
        kept = Candidates(*(arrays[f"kept.{field.name}"] for field in fields(Candidates)))
        return cls(Statistics.from_arrays(arrays), limits, kept)


def draw_lots(
    feature: Int64[np.ndarray, " n"], key: UInt64[np.ndarray, " n"]
) -> UInt64[np.ndarray, " n"]:
    """Return a number for each feature and text, as good as random and always the same."""
    return _mix(_mix(key) + feature.astype(np.uint64))


def _mix(numbers: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Scatter the bits (the finaliser of splitmix64)."""
    mixed = numbers + _GOLDEN
    for shift, factor in _HASH_STEPS:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def first_of_each(
    candidates: Candidates, limits: Limits
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return which candidates are among their feature's best, and which in its sample."""
    feature, context = candidates.feature, candidates.context
    by_activation = np.lexsort((context, -candidates.activation, feature))
    by_lot = np.lexsort((context, candidates.lot, feature))
    return (
        _first(feature, by_activation, limits.best),
        _first(feature, by_lot, limits.sample),
    )


def _first(
    feature: Int64[np.ndarray, " n"], order: Int64[np.ndarray, " n"], limit: int
) -> Bool[np.ndarray, " n"]:
    """Mark the first `limit` of each feature in an order that goes by feature."""
    ordered = feature[order]
    head = starts(ordered)
    lengths = np.diff(head, append=len(ordered))
    rank = np.arange(len(ordered)) - np.repeat(head, lengths)
    marked = np.zeros(len(feature), dtype=bool)
    marked[order[rank < limit]] = True
    return marked


def _candidates(
    contexts: Contexts,
    firings: Firings,
    groups: Groups,
    lots: UInt64[np.ndarray, " group"],
    enters: Bool[np.ndarray, " group"],
    limits: Limits,
) -> Candidates:
    """Return the chosen groups with their active tokens inside the window."""
    chosen = np.flatnonzero(enters)
    lengths = np.diff(groups.head, append=len(firings))[chosen]
    active = _spread(groups.head[chosen], lengths)
    owner = np.repeat(np.arange(len(chosen)), lengths)
    peak, activation = groups.peak[chosen], groups.activation[chosen]
    distance = firings.position[active] - peak[owner]
    inside = (distance >= -limits.left) & (distance <= limits.right)
    active, owner = active[inside], owner[inside]
    counts = np.bincount(owner, minlength=len(chosen))
    context = groups.context[chosen]
    return Candidates(
        groups.feature[chosen],
        contexts.ids[context],
        lots[chosen],
        contexts.lengths[context],
        activation,
        peak,
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        firings.position[active],
        (firings.activation[active] / activation[owner]).astype(np.float16),
    )


def _spread(
    start: Int64[np.ndarray, " n"], lengths: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " total"]:
    """Return the numbers start, start + 1, ... of each range, one range after the other."""
    ends = np.cumsum(lengths)
    shift = np.repeat(start - (ends - lengths), lengths)
    return shift + np.arange(len(shift))
