"""Take text into per-feature states: run the model, mask, encode, update."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor
from transformers import PreTrainedModel

from scopebook.errors import UnavailableError
from scopebook_workers.qwen.capture import Captured, capture_rows
from scopebook_workers.sae.encode import Active, active_features
from scopebook_workers.sae.firings import Batch, Contexts, make_batch
from scopebook_workers.sae.weights import SparseAutoencoder

log = logging.getLogger(__name__)

#: How torch says that the CPU's memory is not enough; it has no class of error for it.
_NO_MEMORY = "can't allocate memory"


@runtime_checkable
class State(Protocol):
    """What takes in what fires: `FeatureState` of a collection, `ScanState` of a scan."""

    def update(
        self,
        batch: Batch,
        active: Active,
        *,
        usable: Bool[Tensor, " token"],
        sinks: Bool[Tensor, " token"],
    ) -> None:
        """Take in a batch of contexts that were not taken in yet."""

    def settle(self) -> None:
        """Take in what the last update has left to be done while the model works on."""


@dataclass(frozen=True)
class Layer:
    """An SAE and the state of its features."""

    sae: SparseAutoencoder
    state: State


@dataclass(frozen=True)
class Collection:
    """A model, and the layers whose features are collected."""

    model: PreTrainedModel
    layers: Mapping[int, Layer]
    #: Tokens whose residual is longer than this times their context's median are masked.
    sink_factor: float

    def take(
        self,
        contexts: Contexts,
        token_ids: Sequence[Int32[np.ndarray, " _"]],
        rows: Sequence[int],
        *,
        halve: bool = True,
    ) -> None:
        """Take some of the contexts, as one batch, into the state of each layer.

        A batch that the GPU has no memory for is taken in two halves, once. The numbers of a half
        may differ from those of the whole in their last bits.
        """
        found = None
        try:
            captured = capture_rows(self.model, list(self.layers), token_ids, rows)
            # A GPU only begins with the batch here: the host sorts the one before meanwhile.
            for layer in self.layers.values():
                layer.state.settle()
            found = fire(self.layers, captured, sink_factor=self.sink_factor)
        except torch.OutOfMemoryError as error:
            if not halve or len(rows) == 1:
                raise UnavailableError(_out_of_memory(token_ids, rows)) from error
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and _NO_MEMORY not in str(error):
                raise
            raise UnavailableError(_out_of_memory(token_ids, rows)) from error
        if found is not None:
            update(self.layers, contexts, token_ids, rows, found)
            return
        log.warning("A batch of %s texts did not fit on the GPU; taking it in halves.", len(rows))
        torch.cuda.empty_cache()
        middle = (len(rows) + 1) // 2
        for half in (rows[:middle], rows[middle:]):
            self.take(contexts, token_ids, half, halve=False)


def _out_of_memory(token_ids: Sequence[Int32[np.ndarray, " _"]], rows: Sequence[int]) -> str:
    tokens = sum(len(token_ids[row]) for row in rows)
    return (
        f"The memory ran out at a batch of {tokens:,} tokens; end other programs, or collect "
        "fewer layers at a time, then retry the job."
    )


@dataclass(frozen=True)
class Fired:
    """What fires in a layer in one batch, and which tokens are activation sinks."""

    active: Active
    sinks: Bool[Tensor, " token"]


def fire(
    layers: Mapping[int, Layer], captured: Captured, *, sink_factor: float
) -> dict[int, Fired]:
    """Encode each layer's residuals; no state changes, so that it can be done again."""
    return {
        number: Fired(
            active_features(captured.residuals[number], layer.sae),
            find_sinks(captured.residuals[number], captured.lengths, sink_factor),
        )
        for number, layer in layers.items()
    }


def update(
    layers: Mapping[int, Layer],
    contexts: Contexts,
    token_ids: Sequence[Int32[np.ndarray, " _"]],
    rows: Sequence[int],
    found: Mapping[int, Fired],
) -> None:
    """Take what fired in a batch into the states.

    The first position of a context and activation sinks are left out: both lie far from what
    the SAEs were trained on.
    """
    device = next(iter(found.values())).sinks.device
    batch = make_batch(contexts.take(list(rows)), [token_ids[row] for row in rows], device)
    for number, fired in found.items():
        usable = (batch.position > 0) & ~fired.sinks
        layers[number].state.update(batch, fired.active, usable=usable, sinks=fired.sinks)


def find_sinks(
    resid: Float[Tensor, "token d_model"], lengths: Sequence[int], factor: float
) -> Bool[Tensor, " token"]:
    """Mark the tokens with |x| > factor * median |x| of their context's tokens.

    The median of an even number is the lower of the two in the middle.
    """
    norms: Tensor = torch.linalg.vector_norm(resid.float(), dim=-1)
    rows = torch.nn.utils.rnn.pad_sequence(
        list(torch.split(norms, list(lengths))), batch_first=True, padding_value=torch.nan
    )  # (row, position)
    medians = rows.nanmedian(dim=1).values
    repeats = torch.as_tensor(list(lengths), device=norms.device)
    limits: Tensor = factor * medians.repeat_interleave(repeats)
    return norms > limits
