"""Measure how a preset moves the model, so that another tool can be held against it."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from transformers import PreTrainedModel

from scopebook.errors import InvalidInputError
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.qwen.steer import steered
from scopebook_workers.sae.edits import LayerEdits

#: The likeliest tokens of the steered and of the unsteered model, each.
LIKELIEST: Final = 10
#: The largest difference in a log-probability that is no fault, by the model's precision: another
#: order of sums. Half precision keeps 8 or 11 bits, of logits up to some tens.
TOLERANCES: Final = {"float32": 2e-3, "float16": 0.1, "bfloat16": 0.5}
#: Share of a text that counts as the prompt where not all tokens are steered alike.
_PROMPT: Final = 2 / 3


@torch.no_grad()
def make_probe(
    model: PreTrainedModel, preset: CompiledPreset, token_ids: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Return `probe.json`: log-probabilities after each text, steered and unsteered.

    The model runs in its own precision, steered as the app steers it, without a cache. Where the
    preset does not steer all tokens, the last third of each text counts as written by the model.

    Args:
        model: The model, on the device of the preset's SAEs.
        preset: What is done to it.
        token_ids: Texts of at least two tokens.

    Raises:
        InvalidInputError: There is no text, or one of less than two tokens; or the model's numbers
            are no longer finite when it is steered so.
    """
    if not token_ids or min(map(len, token_ids)) < 2:
        raise InvalidInputError(
            "a probe needs texts of two tokens or more each: give some short sentences."
        )
    dtype = str(model.dtype).removeprefix("torch.")
    layers = {n: LayerEdits(layer.sae, [layer.edits]) for n, layer in preset.layers.items()}
    return {
        "schema": "steering-probe/1.0",
        "dtype": dtype,
        "tolerance": TOLERANCES.get(dtype, TOLERANCES["bfloat16"]),
        "prompts": [_prompt(model, preset, layers, list(text)) for text in token_ids],
    }


def _prompt(
    model: PreTrainedModel,
    preset: CompiledPreset,
    layers: dict[int, LayerEdits],
    token_ids: list[int],
) -> dict[str, Any]:
    end = prompt_tokens(preset, len(token_ids))
    inputs = torch.tensor([token_ids])
    unsteered = _next_token(model, inputs)
    with steered(model, layers) as steering, steering.at(steered_where(preset, inputs, end)):
        after = _next_token(model, inputs)
    if not after.isfinite().all():
        raise InvalidInputError(
            "the model's numbers are no longer finite when it is steered so: give smaller values."
        )
    shown = _likeliest(after, unsteered)
    top = [
        {"id": one, "steered": round(float(after[one]), 6), "unsteered": round(float(before), 6)}
        for one, before in zip(shown, unsteered[shown].tolist(), strict=True)
    ]
    return {
        "token_ids": token_ids,
        "prompt_tokens": end,
        "top": top,
        "max_change": round(float((after - unsteered)[shown].abs().max()), 6),
    }


def prompt_tokens(preset: CompiledPreset, length: int) -> int:
    """Return how much of a text counts as the prompt."""
    positions = preset.positions
    if positions.prompt == "all" and positions.written:
        return length
    return min(length - 1, max(1, round(length * _PROMPT)))


def steered_where(
    preset: CompiledPreset, token_ids: Int64[Tensor, "row position"], end: int
) -> Bool[Tensor, "row position"]:
    """Return which tokens of texts without padding are steered, whose prompts end at `end`."""
    positions = preset.positions
    place = torch.arange(token_ids.shape[1])
    chosen = {"all": place < end, "last": place == end - 1, "none": place < 0}[positions.prompt]
    if positions.written:
        chosen = chosen | (place >= end)
    where = chosen.expand(token_ids.shape).clone()
    if not positions.special:
        where &= ~torch.isin(token_ids, torch.tensor(sorted(preset.special), dtype=torch.int64))
    return where


def _next_token(
    model: PreTrainedModel, token_ids: Int64[Tensor, "row position"]
) -> Float64[Tensor, " token"]:
    """Return the log-probabilities of what comes after the last position."""
    answer = model(input_ids=token_ids.to(model.device), use_cache=False, logits_to_keep=1)
    found: Tensor = answer.logits[0, -1].float().cpu().double().log_softmax(-1)
    return found


def _likeliest(
    steered: Float64[Tensor, " token"], unsteered: Float64[Tensor, " token"]
) -> list[int]:
    """Return the likeliest tokens of both, those first that are likely when steered."""
    count = min(LIKELIEST, len(steered))
    ids = {*steered.topk(count).indices.tolist(), *unsteered.topk(count).indices.tolist()}
    return sorted(ids, key=lambda one: (-float(steered[one]), one))
