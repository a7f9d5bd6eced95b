"""Which features fire where: flat columns in a fixed order, and their groups by context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt64


@dataclass(frozen=True)
class Contexts:
    """The contexts of a block, in ascending order of their row ids."""

    ids: Int64[np.ndarray, " context"]
    #: A number that depends on the text alone; features draw their sample by it.
    keys: UInt64[np.ndarray, " context"]
    lengths: Int32[np.ndarray, " context"]
    #: Number of the document's tag, -1 for none.
    tags: Int32[np.ndarray, " context"]


@dataclass(frozen=True)
class Firings:
    """Activations above 0, ordered by (feature, context, position)."""

    feature: Int64[np.ndarray, " firing"]
    #: Place in `Contexts`.
    context: Int64[np.ndarray, " firing"]
    position: Int32[np.ndarray, " firing"]
    token: Int32[np.ndarray, " firing"]
    activation: Float32[np.ndarray, " firing"]

    def __len__(self) -> int:
        return len(self.feature)


@dataclass(frozen=True)
class Groups:
    """The firings of one feature in one context each: where they begin, and their peak."""

    head: Int64[np.ndarray, " group"]
    feature: Int64[np.ndarray, " group"]
    context: Int64[np.ndarray, " group"]
    activation: Float32[np.ndarray, " group"]
    #: Position of the largest activation, the first one if it occurs again.
    peak: Int32[np.ndarray, " group"]

    def __len__(self) -> int:
        return len(self.head)


def collect_firings(
    values: Float32[np.ndarray, "token k"],
    features: Int64[np.ndarray, "token k"],
    usable: Bool[np.ndarray, " token"],
    context: Int64[np.ndarray, " token"],
    position: Int32[np.ndarray, " token"],
    token_id: Int32[np.ndarray, " token"],
) -> Firings:
    """Return the firings of usable tokens; tokens of a context stand in their order."""
    active = (values > 0) & usable[:, None]
    at, _ = np.nonzero(active)
    feature, activation = features[active], values[active]
    order = stable_order(feature, context[at])
    at = at[order]
    return Firings(feature[order], context[at], position[at], token_id[at], activation[order])


def join_firings(parts: Sequence[Firings]) -> Firings:
    """Bring firings of disjoint contexts into one order."""
    columns = [
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("feature", "context", "position", "token", "activation")
    ]
    order = stable_order(columns[0], columns[1])
    return Firings(*(column[order] for column in columns))


def stable_order(
    first: Int64[np.ndarray, " n"], second: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Return the order by (first, second), equal ones as they stand; both are at least 0.

    The three numbers fit into one, and sorting plain numbers is several times faster than
    finding an order.
    """
    if len(first) == 0:
        return np.empty(0, dtype=np.int64)
    low, middle = len(first).bit_length(), int(second.max()).bit_length()
    if low + middle + int(first.max()).bit_length() > 63:
        return np.lexsort((second, first))
    packed = (first << (low + middle)) | (second << low) | np.arange(len(first))
    packed.sort()
    return packed & ((1 << low) - 1)


def starts(*columns: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " group"]:
    """Return where a new combination of values begins in ordered columns."""
    if len(columns[0]) == 0:
        return np.empty(0, dtype=np.int64)
    changed = np.zeros(len(columns[0]), dtype=bool)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def group_firings(firings: Firings) -> Groups:
    """Return the groups by feature and context, in that order."""
    head = starts(firings.feature, firings.context)
    if len(head) == 0:
        return Groups(head, head, head, np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32))
    # Bits of positive floats order as the floats do; a smaller position makes a larger number.
    bits = firings.activation.view(np.int32).astype(np.int64) << 32
    strongest = np.maximum.reduceat(bits | (0xFFFFFFFF - firings.position.astype(np.int64)), head)
    return Groups(
        head,
        firings.feature[head],
        firings.context[head],
        (strongest >> 32).astype(np.int32).view(np.float32),
        (0xFFFFFFFF - (strongest & 0xFFFFFFFF)).astype(np.int32),
    )
