"""Run texts through the model and its SAEs, by the same code as a collection."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from scopebook.activations import Activations, LayerActivations
from scopebook.errors import UnavailableError
from scopebook.runs import RunParameters
from scopebook_workers.inference.prompts import Prompt
from scopebook_workers.qwen.capture import Captured, capture_rows, cut_batches
from scopebook_workers.sae.collect import find_sinks
from scopebook_workers.sae.encode import active_features
from scopebook_workers.sae.weights import SparseAutoencoder

#: As in a collection, so that the same tokens are told to be sinks.
_SINK_FACTOR: Final = RunParameters().sink_factor
_BATCH_TOKENS: Final = RunParameters().batch_tokens

#: What fires in one text, by layer; tokens are counted from the text's first.
Row = dict[int, LayerActivations]


@dataclass(frozen=True, eq=False)
class Wanted:
    """A text to be run, and the layers to be looked at."""

    token_ids: NDArray[np.int32]
    layers: Collection[int]


def run_rows(
    model: PreTrainedModel,
    saes: Mapping[int, SparseAutoencoder],
    wanted: Sequence[Wanted],
    *,
    batch_tokens: int = _BATCH_TOKENS,
) -> list[Row]:
    """Return what fires in each text, in the layers that were asked for it.

    Texts of like length share a batch, whosever they are.
    """
    found: list[Row] = [{} for _ in wanted]
    token_ids = [text.token_ids for text in wanted]
    with telling_of_memory():
        for rows in cut_batches([len(row) for row in token_ids], batch_tokens):
            layers = sorted({layer for row in rows for layer in wanted[row].layers})
            captured = capture_rows(model, layers, token_ids, rows)
            for layer in layers:
                of_layer = [place for place, row in enumerate(rows) if layer in wanted[row].layers]
                fired = _fire(captured, layer, of_layer, saes[layer])
                for place, activations in zip(of_layer, fired, strict=True):
                    found[rows[place]][layer] = activations
    return found


@contextmanager
def telling_of_memory() -> Iterator[None]:
    """Raise a sentence where the GPU has no memory left, and free what nothing holds any more."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise UnavailableError(
            "The GPU has no memory left for this; ask for less text, fewer layers or strengths."
        ) from error


def _fire(
    captured: Captured, layer: int, places: Sequence[int], sae: SparseAutoencoder
) -> list[LayerActivations]:
    """Encode one layer of some of the texts of a batch, and part it by text."""
    residual = captured.residuals[layer]
    lengths = [captured.lengths[place] for place in places]
    if len(places) < len(captured.lengths):
        parts = torch.split(residual, captured.lengths)
        residual = torch.cat([parts[place] for place in places])
    active = active_features(residual, sae)
    sinks = find_sinks(residual, lengths, _SINK_FACTOR).cpu().numpy()
    token, feature, value = (
        column.cpu().numpy() for column in (active.token, active.feature, active.value)
    )
    starts = np.cumsum([0, *lengths])
    borders = np.searchsorted(token, starts)
    return [
        LayerActivations(
            token=(token[first:last] - start).astype(np.int32),
            feature=feature[first:last].astype(np.int32),
            value=value[first:last],
            sinks=sinks[start:end],
        )
        for first, last, start, end in zip(
            borders[:-1], borders[1:], starts[:-1], starts[1:], strict=True
        )
    ]


def gather(
    prompts: Sequence[Prompt],
    rows: Sequence[Row],
    *,
    written: Sequence[int],
    special: frozenset[int],
) -> Activations:
    """Put texts of one request together; `written` are the model's own tokens at their ends."""
    starts = np.cumsum([0, *(len(prompt.token_ids) for prompt in prompts)])
    token_ids = np.concatenate([prompt.token_ids for prompt in prompts])
    layers = {
        layer: LayerActivations(
            token=np.concatenate(
                [
                    row[layer].token + np.int32(start)
                    for row, start in zip(rows, starts, strict=False)
                ]
            ),
            feature=np.concatenate([row[layer].feature for row in rows]),
            value=np.concatenate([row[layer].value for row in rows]),
            sinks=np.concatenate([row[layer].sinks for row in rows]),
        )
        for layer in rows[0]
    }
    return Activations(
        texts=[prompt.text for prompt in prompts],
        starts=starts,
        written=written,
        token_ids=token_ids,
        spans=np.concatenate([prompt.spans for prompt in prompts]),
        special=np.isin(token_ids, list(special)),
        layers=layers,
    )
