"""Capture the residual stream after chosen decoder layers, for real tokens only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor
from transformers import PreTrainedModel

from scopebook.errors import InvalidInputError


@dataclass(frozen=True)
class Captured:
    """One batch: rows of text by their place in the input, and what the layers said of them."""

    #: The place of each row in the input of `capture`.
    rows: list[int]
    #: Real tokens of each row.
    lengths: list[int]
    #: By layer; the tokens of the first row, then of the second, and so on.
    residuals: dict[int, Float[Tensor, "token d_model"]]


class _LastLayerReached(Exception):  # noqa: N818 - a way out of the model, not an error
    pass


def capture(
    model: PreTrainedModel,
    layers: Sequence[int],
    token_ids: Sequence[Int32[np.ndarray, " _"]],
    *,
    batch_tokens: int,
) -> Iterator[Captured]:
    """Yield the outputs of `layers` for all rows, in batches of at most `batch_tokens` tokens.

    A layer's output is the residual stream after it, before any final norm. Rows of like length
    share a batch, padded on the right and masked; each is a text of its own. Layers after the
    last wanted one, the final norm and the language model head do not run. Batches depend on the
    rows alone, so the same rows give the same numbers.
    """
    for rows in cut_batches([len(row) for row in token_ids], batch_tokens):
        yield capture_rows(model, layers, token_ids, rows)


def cut_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Group rows by length: at most `batch_tokens` with padding, but one row at least.

    Rows without tokens are in no batch.
    """
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if rows and (len(rows) + 1) * lengths[row] > batch_tokens:
            yield rows
            rows = []
        if lengths[row]:
            rows.append(row)
    if rows:
        yield rows


def capture_rows(
    model: PreTrainedModel,
    layers: Sequence[int],
    token_ids: Sequence[Int32[np.ndarray, " _"]],
    rows: Sequence[int],
) -> Captured:
    """Return the outputs of `layers` for some of the rows, run as one batch; see `capture`."""
    lengths = [len(token_ids[row]) for row in rows]
    padded, mask = _pad([token_ids[row] for row in rows])
    outputs = run_to(model, layers, padded, mask)
    # By places known here: counting a mask on a GPU would wait for the whole forward pass.
    real = mask.flatten().nonzero().squeeze(1).to(model.device, non_blocking=True)
    residuals = {layer: output.flatten(0, 1)[real] for layer, output in outputs.items()}
    return Captured(list(rows), lengths, residuals)


@torch.no_grad()
def run_to(
    model: PreTrainedModel,
    layers: Sequence[int],
    token_ids: Int64[Tensor, "row position"],
    mask: Bool[Tensor, "row position"],
) -> dict[int, Float[Tensor, "row position d_model"]]:
    """Run the decoder up to the last of `layers` and return their outputs, padding included."""
    outputs: dict[int, Tensor] = {}
    untyped: Any = model
    decoder = untyped.get_decoder()
    with _watching(decoder, layers, outputs), suppress(_LastLayerReached):
        decoder(
            input_ids=token_ids.to(model.device),
            attention_mask=mask.to(model.device, torch.int64),
            use_cache=False,
        )
    return {layer: outputs[layer] for layer in layers}


def _pad(
    rows: Sequence[Int32[np.ndarray, " _"]],
) -> tuple[Int64[Tensor, "row position"], Bool[Tensor, "row position"]]:
    longest = max(len(row) for row in rows)
    padded = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=bool)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
        mask[place, : len(row)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)


@contextmanager
def _watching(decoder: Any, layers: Sequence[int], outputs: dict[int, Tensor]) -> Iterator[None]:
    """Hook the layers and remove the hooks again, whatever happens."""
    there = len(decoder.layers)
    unknown = [layer for layer in layers if not 0 <= layer < there]
    if unknown or not layers:
        raise InvalidInputError(
            f"the model has no layer {unknown[0] if unknown else 'of that kind'}; give some of its "
            f"layers 0 to {there - 1}."
        )
    last = max(layers)
    handles = [
        decoder.layers[layer].register_forward_hook(_keeper(layer, outputs, stop=layer == last))
        for layer in set(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keeper(layer: int, outputs: dict[int, Tensor], *, stop: bool) -> Callable[..., None]:
    def keep(_module: Any, _inputs: Any, output: Tensor | tuple[Tensor, ...]) -> None:
        outputs[layer] = output[0] if isinstance(output, tuple) else output
        if stop:
            raise _LastLayerReached

    return keep
