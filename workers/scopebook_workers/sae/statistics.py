"""What adds up over contexts: counts, histograms and sums, exact in any order of adding.

Sums of activations are kept in whole steps of 2**-20, since floating-point sums depend on their
order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from jaxtyping import Float32, Int64

from scopebook.packing import BINS, HISTOGRAM_EDGES
from scopebook_workers.sae.firings import Contexts, Firings, Groups, starts

STEPS_PER_UNIT: Final = 2.0**20
#: Positions that are counted one by one. Further on a model with relative positions no longer
#: knows how far it is from the beginning, so no feature can stand for a single one.
EARLY_POSITIONS: Final = 64
_POOL: Final = 2_000_000
_ITEM_BITS: Final = 32


class PairSums:
    """Sums by (feature, item), for the pairs that occur."""

    def __init__(self) -> None:
        self._keys: list[Int64[np.ndarray, " _"]] = []
        self._sums: list[Int64[np.ndarray, " _"]] = []
        self._waiting = 0

    def add(
        self,
        feature: Int64[np.ndarray, " n"],
        item: Int64[np.ndarray, " n"],
        amount: Int64[np.ndarray, " n"],
    ) -> None:
        """Add an amount for each pair; a pair may stand several times."""
        self._append((feature << _ITEM_BITS) | item, amount)

    def pairs(
        self,
    ) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return features, items and sums, ordered by feature and item."""
        keys, sums = self.arrays()
        return keys >> _ITEM_BITS, keys & ((1 << _ITEM_BITS) - 1), sums

    def arrays(self) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Return the sums in the form that `add_arrays` takes."""
        self._compact()
        return self._keys[0], self._sums[0]

    def add_arrays(self, keys: Int64[np.ndarray, " n"], sums: Int64[np.ndarray, " n"]) -> None:
        """Add what another one's `arrays` gave."""
        self._append(keys, sums)

    def _append(self, keys: Int64[np.ndarray, " n"], sums: Int64[np.ndarray, " n"]) -> None:
        self._keys.append(keys)
        self._sums.append(sums)
        self._waiting += len(keys)
        held = len(self._keys[0])
        if self._waiting > max(_POOL, held):
            self._compact()

    def _compact(self) -> None:
        keys = np.concatenate([np.empty(0, dtype=np.int64), *self._keys])
        sums = np.concatenate([np.empty(0, dtype=np.int64), *self._sums])
        order = np.argsort(keys)
        keys, sums = keys[order], sums[order]
        head = starts(keys)
        self._keys = [keys[head]]
        self._sums = [np.add.reduceat(sums, head) if len(head) else sums]
        self._waiting = 0


@dataclass(kw_only=True)
class Statistics:
    """Additive statistics of every feature of one SAE."""

    #: Usable tokens and masked sinks of the contexts seen, and the contexts.
    tokens: int
    sinks: int
    contexts: int
    contexts_by_tag: Int64[np.ndarray, " tag"]
    count: Int64[np.ndarray, " d_sae"]
    firing_contexts: Int64[np.ndarray, " d_sae"]
    #: In steps of 2**-20.
    total: Int64[np.ndarray, " d_sae"]
    largest: Float32[np.ndarray, " d_sae"]
    histogram: Int64[np.ndarray, "d_sae bins"]
    #: Activation by firing token, in steps of 2**-20; firings by position; contexts by tag.
    by_token: PairSums
    by_position: PairSums
    by_tag: PairSums

    @classmethod
    def empty(cls, d_sae: int, tags: int) -> "Statistics":
        """Return the statistics of nothing."""
        return cls(
            tokens=0,
            sinks=0,
            contexts=0,
            contexts_by_tag=np.zeros(tags, dtype=np.int64),
            count=np.zeros(d_sae, dtype=np.int64),
            firing_contexts=np.zeros(d_sae, dtype=np.int64),
            total=np.zeros(d_sae, dtype=np.int64),
            largest=np.zeros(d_sae, dtype=np.float32),
            histogram=np.zeros((d_sae, BINS), dtype=np.int64),
            by_token=PairSums(),
            by_position=PairSums(),
            by_tag=PairSums(),
        )

    def add(
        self, contexts: Contexts, firings: Firings, groups: Groups, *, tokens: int, sinks: int
    ) -> None:
        """Count the firings of contexts that were not counted yet."""
        self.tokens += tokens
        self.sinks += sinks
        self.contexts += len(contexts.ids)
        tagged = contexts.tags[contexts.tags >= 0]
        self.contexts_by_tag += np.bincount(tagged, minlength=len(self.contexts_by_tag))
        if len(firings):
            self._add_by_feature(firings)
            self._add_pairs(contexts, firings, groups)

    def _add_by_feature(self, firings: Firings) -> None:
        head = starts(firings.feature)
        feature = firings.feature[head]
        counts = np.diff(head, append=len(firings))
        self.count[feature] += counts
        self.total[feature] += np.add.reduceat(_steps(firings.activation), head)
        largest = np.maximum.reduceat(firings.activation, head)
        self.largest[feature] = np.maximum(self.largest[feature], largest)
        bins = np.searchsorted(HISTOGRAM_EDGES, firings.activation, side="right") - 1
        place = np.repeat(np.arange(len(feature)) * BINS, counts) + bins
        self.histogram[feature] += np.bincount(place, minlength=len(feature) * BINS).reshape(
            len(feature), BINS
        )

    def _add_pairs(self, contexts: Contexts, firings: Firings, groups: Groups) -> None:
        token = firings.token.astype(np.int64)
        self.by_token.add(firings.feature, token, _steps(firings.activation))
        early = firings.position < EARLY_POSITIONS
        position = firings.position[early].astype(np.int64)
        self.by_position.add(firings.feature[early], position, np.ones_like(position))
        np.add.at(self.firing_contexts, groups.feature, 1)
        tag = contexts.tags[groups.context].astype(np.int64)
        tagged = tag >= 0
        self.by_tag.add(groups.feature[tagged], tag[tagged], np.ones_like(tag[tagged]))

    def merge(self, other: "Statistics") -> None:
        """Add the statistics of other contexts."""
        for name in ("tokens", "sinks", "contexts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("contexts_by_tag", "count", "firing_contexts", "total", "histogram"):
            getattr(self, name)[...] += getattr(other, name)
        np.maximum(self.largest, other.largest, out=self.largest)
        for name in ("by_token", "by_position", "by_tag"):
            getattr(self, name).add_arrays(*getattr(other, name).arrays())

    def arrays(self) -> dict[str, Any]:
        """Return everything as named arrays, the same for the same contexts."""
        named: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, PairSums):
                named[f"{name}.keys"], named[f"{name}.sums"] = value.arrays()
            else:
                named[name] = np.asarray(value)
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Statistics":
        """Return what `arrays` was taken from."""
        named: dict[str, Any] = {
            name: arrays[name] for name in (field.name for field in fields(cls)) if name in arrays
        }
        for name in ("tokens", "sinks", "contexts"):
            named[name] = int(named[name])
        for name in ("by_token", "by_position", "by_tag"):
            named[name] = PairSums()
            named[name].add_arrays(arrays[f"{name}.keys"], arrays[f"{name}.sums"])
        return cls(**named)


def _steps(activation: Float32[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    return np.rint(activation.astype(np.float64) * STEPS_PER_UNIT).astype(np.int64)
