"""Take captured residuals into per-feature states: mask, encode, flatten, update."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor

from scopebook_workers.qwen.capture import Captured
from scopebook_workers.sae.encode import encode
from scopebook_workers.sae.firings import Contexts, Firings, collect_firings, join_firings
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.weights import SparseAutoencoder


@dataclass(frozen=True)
class Layer:
    """An SAE and the state of its features."""

    sae: SparseAutoencoder
    state: FeatureState


def collect_block(
    layers: Mapping[int, Layer],
    contexts: Contexts,
    token_ids: Sequence[Int32[np.ndarray, " _"]],
    batches: Iterable[Captured],
    *,
    sink_factor: float,
) -> None:
    """Take a block of contexts, captured in batches, into the state of each layer.

    The first position of a context and activation sinks are left out: both lie far from what
    the SAEs were trained on.
    """
    parts: dict[int, list[Firings]] = {layer: [] for layer in layers}
    sinks = dict.fromkeys(layers, 0)
    for batch in batches:
        for number, layer in layers.items():
            firings, masked = _fire(
                layer.sae, batch, batch.residuals[number], token_ids, sink_factor
            )
            parts[number].append(firings)
            sinks[number] += masked
    places = int(np.maximum(contexts.lengths - 1, 0).sum())
    for number, layer in layers.items():
        layer.state.update(
            contexts,
            join_firings(parts[number]),
            tokens=places - sinks[number],
            sinks=sinks[number],
        )


def _fire(
    sae: SparseAutoencoder,
    batch: Captured,
    resid: Float[Tensor, "token d_model"],
    token_ids: Sequence[Int32[np.ndarray, " _"]],
    sink_factor: float,
) -> tuple[Firings, int]:
    """Return the firings of one batch, and how many sinks were masked."""
    sinks = find_sinks(resid, batch.lengths, sink_factor).cpu().numpy()
    position = np.concatenate([np.arange(n, dtype=np.int32) for n in batch.lengths])
    later = position > 0
    values, features = encode(resid, sae)
    firings = collect_firings(
        values.cpu().numpy(),
        features.cpu().numpy(),
        later & ~sinks,
        np.repeat(np.asarray(batch.rows, dtype=np.int64), batch.lengths),
        position,
        np.concatenate([token_ids[row] for row in batch.rows]),
    )
    return firings, int((sinks & later).sum())


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
