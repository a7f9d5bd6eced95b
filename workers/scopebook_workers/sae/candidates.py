"""Contexts that may become examples: compact columns, and which of them are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float16, Float32, Int32, Int64, UInt16
from torch import Tensor

from scopebook_workers.sae.firings import Batch, Contexts, Firings, Groups, spread
from scopebook_workers.sae.host_copies import HostCopies
from scopebook_workers.sae.orders import first_of_each, order_within


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept: contexts, tokens around their peaks, and firings for the top tokens."""

    best: int = 20
    sample: int = 60
    left: int = 128
    right: int = 64
    draws: int = 100


@dataclass(frozen=True)
class Candidates:
    """Contexts that fire a feature, one per feature and context, with the window around the peak.

    A candidate has `active` active tokens; those of the first stand first in `positions`, with
    `shares` of its activation. A candidate takes 40 bytes, and each of its active tokens 4.
    """

    feature: Int32[np.ndarray, " candidate"]
    context: Int64[np.ndarray, " candidate"]
    #: The context that this one nearly repeats, or itself.
    group: Int64[np.ndarray, " candidate"]
    #: The sample are those with the smallest.
    lot: Int64[np.ndarray, " candidate"]
    activation: Float32[np.ndarray, " candidate"]
    length: UInt16[np.ndarray, " candidate"]
    peak: UInt16[np.ndarray, " candidate"]
    active: UInt16[np.ndarray, " candidate"]
    positions: UInt16[np.ndarray, " active"]
    shares: Float16[np.ndarray, " active"]

    def __len__(self) -> int:
        return len(self.feature)

    @property
    def nbytes(self) -> int:
        """The bytes that the columns take."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))

    @classmethod
    def none(cls) -> "Candidates":
        """Return no candidates."""
        return cls(**{name: np.empty(0, dtype=dtype) for name, dtype in _DTYPES.items()})

    def offsets(self) -> Int64[np.ndarray, " borders"]:
        """Return where each candidate's active tokens begin, and where the last one's end."""
        return np.concatenate([[0], np.cumsum(self.active, dtype=np.int64)])

    def take(self, index: Int64[np.ndarray, " chosen"]) -> "Candidates":
        """Return the candidates at `index`, in that order."""
        lengths = self.active[index].astype(np.int64)
        ends = np.cumsum(lengths)
        first = self.offsets()[index]
        tokens = np.repeat(first - (ends - lengths), lengths) + np.arange(ends[-1:].sum())
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in _OF_CANDIDATE}
        return Candidates(**columns, positions=self.positions[tokens], shares=self.shares[tokens])

    @classmethod
    def joined(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Return all candidates, one part after the other."""
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in _DTYPES})


_DTYPES: Final[dict[str, Any]] = {
    "feature": np.int32,
    "context": np.int64,
    "group": np.int64,
    "lot": np.int64,
    "activation": np.float32,
    "length": np.uint16,
    "peak": np.uint16,
    "active": np.uint16,
    "positions": np.uint16,
    "shares": np.float16,
}
_OF_CANDIDATE: Final = tuple(_DTYPES)[:-2]


@dataclass(frozen=True)
class Entering:
    """Groups of a batch that enter the pool of candidates, still on their way to the host."""

    contexts: Contexts
    columns: HostCopies

    def candidates(self) -> Candidates:
        """Return them as candidates, once they are there."""
        columns = self.columns.arrays()
        context = columns["context"]
        columns |= {
            "context": self.contexts.ids[context],
            "group": self.contexts.groups[context],
            "length": self.contexts.lengths[context],
        }
        return Candidates(**{name: columns[name].astype(dtype) for name, dtype in _DTYPES.items()})


def entering(
    batch: Batch,
    firings: Firings,
    groups: Groups,
    lots: Int64[Tensor, " group"],
    enters: Bool[Tensor, " group"],
    limits: Limits,
) -> Entering:
    """Send the groups that enter to the host, with their active tokens inside the window."""
    chosen = enters.nonzero().squeeze(1)
    lengths = groups.head[chosen + 1] - groups.head[chosen]
    active = groups.order[spread(groups.head[chosen], lengths)]
    owner = torch.repeat_interleave(torch.arange(len(chosen), device=chosen.device), lengths)
    distance = firings.position[active] - groups.peak[chosen][owner]
    inside = (distance >= -limits.left) & (distance <= limits.right)
    active, owner = active[inside], owner[inside]
    activation = groups.activation[chosen]
    columns = {
        "feature": groups.feature[chosen],
        "context": groups.context[chosen],
        "lot": lots[chosen],
        "activation": activation,
        "peak": groups.peak[chosen],
        "active": torch.bincount(owner, minlength=len(chosen)),
        "positions": firings.position[active],
        "shares": firings.activation[active] / activation[owner],
    }
    return Entering(batch.contexts, HostCopies.of(columns))


def best_and_sample(
    candidates: Candidates, limits: Limits
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return which candidates are among their feature's best, and which in its sample.

    The best are the strongest of contexts that do not repeat each other, ties to the lower context
    id. The sample is drawn from all contexts.
    """
    feature, context = candidates.feature, candidates.context
    weakness = (_LARGEST - candidates.activation.view(np.int32).astype(np.int64)) << 32
    by_activation = order_within(feature, weakness, context)
    alone = ~_repeats(candidates)[by_activation]
    by_lot = order_within(feature, (candidates.lot >> 1) + 2**62, candidates.lot, context)
    return (
        first_of_each(feature, by_activation[alone], limits.best),
        first_of_each(feature, by_lot, limits.sample),
    )


#: The bits of a positive float32 are below.
_LARGEST: Final = 2**31 - 1


def _repeats(candidates: Candidates) -> Bool[np.ndarray, " n"]:
    """Mark the candidates that a stronger one of their feature and group makes needless.

    Looked for only in groups of several contexts, which are few.
    """
    repeats = np.zeros(len(candidates), dtype=bool)
    several = np.unique(candidates.group[candidates.group != candidates.context])
    rows = np.flatnonzero(np.isin(candidates.group, several))
    feature, group = candidates.feature[rows], candidates.group[rows]
    order = np.lexsort((candidates.context[rows], -candidates.activation[rows], group, feature))
    feature, group = feature[order], group[order]
    again = (feature[1:] == feature[:-1]) & (group[1:] == group[:-1])
    repeats[rows[order[1:][again]]] = True
    return repeats
