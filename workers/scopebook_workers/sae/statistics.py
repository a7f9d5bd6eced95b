"""What adds up over contexts: counts, histograms and sums, exact in any order of adding.

Sums of activations are kept in whole steps of 2**-20, since floating-point sums depend on their
order. The tensors lie where the model does; their size depends on the number of features and tags
alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from scopebook.packing import BINS
from scopebook_workers.sae.encode import Active
from scopebook_workers.sae.firings import Batch, Firings, Groups

STEPS_PER_UNIT: Final = 2.0**20
#: Positions that are counted one by one. Further on a model with relative positions no longer
#: knows how far it is from the beginning, so no feature can stand for a single one.
EARLY_POSITIONS: Final = 64
_NOWHERE: Final = torch.iinfo(torch.int64).max
_COUNTS: Final = ("tokens", "sinks", "masked", "contexts")
_SUMS: Final = (
    "contexts_by_tag",
    "histogram",
    "total",
    "masked_count",
    "masked_total",
    "firing_contexts",
    "by_position",
    "by_tag",
)


@dataclass(kw_only=True)
class Statistics:
    """Additive statistics of every feature of one SAE."""

    #: Usable tokens, activation sinks, masked tokens (sinks and first positions), contexts.
    tokens: int
    sinks: int
    masked: int
    contexts: int
    contexts_by_tag: Int64[Tensor, " tag"]
    #: Firings by size, over the edges of `scopebook.packing.HISTOGRAM_EDGES`.
    histogram: Int64[Tensor, "d_sae bins"]
    #: Activation in steps of 2**-20, of usable and of masked tokens; and firings on the latter.
    total: Int64[Tensor, " d_sae"]
    masked_total: Int64[Tensor, " d_sae"]
    masked_count: Int64[Tensor, " d_sae"]
    largest: Float32[Tensor, " d_sae"]
    #: Contexts that fire it, and the row ids of the first and the last of them.
    firing_contexts: Int64[Tensor, " d_sae"]
    first_context: Int64[Tensor, " d_sae"]
    last_context: Int64[Tensor, " d_sae"]
    by_position: Int32[Tensor, "d_sae early"]
    #: Firing contexts by their document's tag.
    by_tag: Int32[Tensor, "d_sae tag"]

    @classmethod
    def empty(cls, d_sae: int, tags: int, device: torch.device | str = "cpu") -> "Statistics":
        """Return the statistics of nothing."""

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        return cls(
            tokens=0,
            sinks=0,
            masked=0,
            contexts=0,
            contexts_by_tag=zeros(tags),
            histogram=zeros(d_sae, BINS),
            total=zeros(d_sae),
            masked_total=zeros(d_sae),
            masked_count=zeros(d_sae),
            largest=zeros(d_sae, dtype=torch.float32),
            firing_contexts=zeros(d_sae),
            first_context=zeros(d_sae) + _NOWHERE,
            last_context=zeros(d_sae) - 1,
            by_position=zeros(d_sae, EARLY_POSITIONS, dtype=torch.int32),
            by_tag=zeros(d_sae, tags, dtype=torch.int32),
        )

    @property
    def count(self) -> Int64[Tensor, " d_sae"]:
        """How often each feature fired."""
        return self.histogram.sum(dim=1)

    def add(
        self,
        batch: Batch,
        firings: Firings,
        groups: Groups,
        *,
        usable: Bool[Tensor, " token"],
        sinks: Bool[Tensor, " token"],
    ) -> None:
        """Count the firings of a batch that was not counted yet."""
        usable_tokens = int(usable.sum())
        self.tokens += usable_tokens
        self.masked += len(usable) - usable_tokens
        self.sinks += int((sinks & (batch.position > 0)).sum())
        self.contexts += len(batch.ids)
        tagged = batch.tags[batch.tags >= 0]
        self.contexts_by_tag.scatter_add_(0, tagged, torch.ones_like(tagged))
        self._add_firings(firings)
        self._add_groups(batch, groups)

    def add_masked(self, active: Active, usable: Bool[Tensor, " token"]) -> None:
        """Count what fires on masked tokens, for itself."""
        masked = ~usable[active.token]
        feature, value = active.feature[masked], active.value[masked]
        self.masked_count.scatter_add_(0, feature, torch.ones_like(feature))
        self.masked_total.scatter_add_(0, feature, steps_of(value))

    def _add_firings(self, firings: Firings) -> None:
        feature = firings.feature
        self.total.scatter_add_(0, feature, steps_of(firings.activation))
        self.largest.scatter_reduce_(0, feature, firings.activation, "amax")
        place = feature * BINS + bins_of(firings.activation)
        self.histogram.view(-1).scatter_add_(0, place, torch.ones_like(place))
        early = firings.position < EARLY_POSITIONS
        place = feature[early] * EARLY_POSITIONS + firings.position[early]
        self.by_position.view(-1).scatter_add_(0, place, torch.ones_like(place, dtype=torch.int32))

    def _add_groups(self, batch: Batch, groups: Groups) -> None:
        feature, context = groups.feature, batch.ids[groups.context]
        self.firing_contexts.scatter_add_(0, feature, torch.ones_like(feature))
        self.first_context.scatter_reduce_(0, feature, context, "amin")
        self.last_context.scatter_reduce_(0, feature, context, "amax")
        tag = batch.tags[groups.context]
        place = (feature * self.by_tag.shape[1] + tag)[tag >= 0]
        self.by_tag.view(-1).scatter_add_(0, place, torch.ones_like(place, dtype=torch.int32))

    def merge(self, other: "Statistics") -> None:
        """Add the statistics of other contexts, seen with the same tags."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _SUMS:
            getattr(self, name).add_(getattr(other, name).to(self.total.device))
        self.largest = torch.maximum(self.largest, other.largest)
        self.first_context = torch.minimum(self.first_context, other.first_context)
        self.last_context = torch.maximum(self.last_context, other.last_context)

    def widen(self, tags: int) -> None:
        """Make room for tags that were not known before; the known ones keep their places."""
        new = tags - len(self.contexts_by_tag)
        self.contexts_by_tag = torch.nn.functional.pad(self.contexts_by_tag, (0, new))
        self.by_tag = torch.nn.functional.pad(self.by_tag, (0, new))

    def arrays(self) -> dict[str, Any]:
        """Return everything as named arrays, the same for the same contexts."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
            for name, value in values.items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Statistics":
        """Return what `arrays` was taken from, on the CPU."""
        named: dict[str, Any] = {
            name: int(arrays[name]) if name in _COUNTS else torch.from_numpy(arrays[name])
            for name in (field.name for field in fields(cls))
        }
        return cls(**named)


def steps_of(activation: Float32[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return activations in whole steps of 2**-20, halves to the even one."""
    return (activation.double() * STEPS_PER_UNIT).round_().long()


def bins_of(activation: Float32[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return each positive activation's bin of `HISTOGRAM_EDGES`, which are half an octave apart.

    The exponent of the number tells the octave, and its mantissa which half of it: a search among
    the edges would take longer than all other statistics together.
    """
    bits = activation.view(torch.int32)
    octave = (bits >> 23) - _EXPONENT_OF_FIRST
    upper = (bits & 0x7FFFFF) >= _MANTISSA_OF_HALF
    return (1 + 2 * octave + upper).clamp_(0, BINS - 1).long()


#: The first edge above 0 is 2**-8, and a float's exponent is stored with 127 added.
_EXPONENT_OF_FIRST: Final = 127 - 8
#: The smallest float32 above the square root of 2, without its exponent.
_MANTISSA_OF_HALF: Final = 0x3504F4
