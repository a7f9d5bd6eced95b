"""Which features fire where in a batch, and their groups by context; all on the model's device."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int32, Int64
from torch import Tensor

from scopebook_workers.sae.encode import Active
from scopebook_workers.sae.lots import mix


@dataclass(frozen=True)
class Contexts:
    """Contexts of a run, in ascending order of their row ids."""

    ids: Int64[np.ndarray, " context"]
    #: The row id of the context that this one nearly repeats, or its own.
    groups: Int64[np.ndarray, " context"]
    #: A number that depends on the text alone; features draw their sample by it.
    keys: Int64[np.ndarray, " context"]
    lengths: Int32[np.ndarray, " context"]
    #: Number of the document's tag, -1 for none.
    tags: Int32[np.ndarray, " context"]

    def take(self, rows: Sequence[int] | slice) -> "Contexts":
        """Return some of the contexts, in the given order."""
        return Contexts(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """The contexts and tokens of one batch, each token with its context's place in the batch."""

    contexts: Contexts
    ids: Int64[Tensor, " context"]
    keys: Int64[Tensor, " context"]
    tags: Int64[Tensor, " context"]
    context: Int64[Tensor, " token"]
    position: Int64[Tensor, " token"]
    token_id: Int64[Tensor, " token"]
    #: Drawn by text and position; see `TokenDraws`.
    lot: Int64[Tensor, " token"]


def make_batch(
    contexts: Contexts, token_ids: Sequence[Int32[np.ndarray, " _"]], device: torch.device
) -> Batch:
    """Return the batch of these contexts, whose tokens stand one context after the other."""
    lengths = contexts.lengths
    context = np.repeat(np.arange(len(lengths)), lengths)
    position = np.concatenate([np.arange(n) for n in lengths])
    there = {
        "ids": contexts.ids,
        "keys": contexts.keys,
        "tags": contexts.tags.astype(np.int64),
        "context": context,
        "position": position,
        "token_id": np.concatenate(list(token_ids)).astype(np.int64),
    }
    tensors = {name: torch.from_numpy(column).to(device) for name, column in there.items()}
    lot = mix(mix(tensors["keys"])[tensors["context"]] + tensors["position"])
    return Batch(contexts, **tensors, lot=lot)


@dataclass(frozen=True)
class Firings:
    """Activations above 0 of the tokens that count, in the order of the tokens."""

    feature: Int64[Tensor, " firing"]
    #: Place of the context in the batch.
    context: Int64[Tensor, " firing"]
    position: Int64[Tensor, " firing"]
    token_id: Int64[Tensor, " firing"]
    #: The token's number drawn by text and position.
    lot: Int64[Tensor, " firing"]
    activation: Float32[Tensor, " firing"]

    def __len__(self) -> int:
        return len(self.feature)


@dataclass(frozen=True)
class Groups:
    """The firings of one feature in one context each, by feature and context.

    Group i is `order[head[i]:head[i + 1]]` of the firings, in the order of their positions.
    """

    order: Int64[Tensor, " firing"]
    head: Int64[Tensor, " borders"]
    feature: Int64[Tensor, " group"]
    context: Int64[Tensor, " group"]
    activation: Float32[Tensor, " group"]
    #: Position of the largest activation, the first one if it occurs again.
    peak: Int64[Tensor, " group"]

    def __len__(self) -> int:
        return len(self.feature)


def firings_of(batch: Batch, active: Active, usable: Bool[Tensor, " token"]) -> Firings:
    """Return what fires on usable tokens."""
    kept = usable[active.token]
    token = active.token[kept]
    return Firings(
        feature=active.feature[kept],
        context=batch.context[token],
        position=batch.position[token],
        token_id=batch.token_id[token],
        lot=batch.lot[token],
        activation=active.value[kept],
    )


def group_firings(firings: Firings, contexts: int) -> Groups:
    """Return the groups of a batch with so many contexts."""
    low, middle = len(firings).bit_length(), contexts.bit_length()
    number = torch.arange(len(firings), device=firings.feature.device)
    packed = (firings.feature << (low + middle)) | (firings.context << low) | number
    packed = sorted_numbers(packed)
    order, key = packed & ((1 << low) - 1), packed >> low
    begins = torch.ones_like(key, dtype=torch.bool)
    torch.ne(key[1:], key[:-1], out=begins[1:])
    head = begins.nonzero().squeeze(1)
    # Bits of positive floats order as the floats do; a smaller position makes a larger number.
    bits = firings.activation.view(torch.int32).long() << 32
    strength = (bits | (0xFFFFFFFF - firings.position))[order]
    strongest = torch.zeros_like(head).scatter_reduce_(
        0, begins.cumsum(0) - 1, strength, "amax", include_self=True
    )
    return Groups(
        order=order,
        head=torch.cat([head, head.new_tensor([len(firings)])]),
        feature=key[head] >> middle,
        context=key[head] & ((1 << middle) - 1),
        activation=(strongest >> 32).int().view(torch.float32),
        peak=0xFFFFFFFF - (strongest & 0xFFFFFFFF),
    )


def sorted_numbers(numbers: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return the numbers in ascending order; the tensor given may be used up.

    On the CPU by NumPy, whose sort of plain numbers is three times as fast as torch's.
    """
    if numbers.device.type != "cpu":
        return numbers.sort().values
    numbers.numpy().sort()
    return numbers


def spread(start: Int64[Tensor, " n"], lengths: Int64[Tensor, " n"]) -> Int64[Tensor, " total"]:
    """Return the numbers start, start + 1, ... of each range, one range after the other."""
    shift = start - (lengths.cumsum(0) - lengths)
    wide = torch.repeat_interleave(shift, lengths)
    return wide + torch.arange(len(wide), device=start.device)
