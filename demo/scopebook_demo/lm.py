"""Train the small Qwen3.5 language model: Muon and AdamW, schedule by step, exact resume."""

import json
import logging
import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from jaxtyping import Float, Int
from torch import Tensor
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

from scopebook_demo.tokenizer import Packed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelShape:
    """Sizes of the model; every fourth layer is full attention, the others are linear."""

    vocabulary: int = 8192
    d_model: int = 192
    layers: int = 4
    heads: int = 4
    head_dim: int = 64
    key_value_heads: int = 2
    linear_key_dim: int = 32
    linear_value_dim: int = 48


@dataclass(frozen=True)
class Training:
    """The recipe. One step sees batch x context tokens."""

    steps: int = 2600
    batch: int = 8
    context: int = 256
    warm_up: int = 60
    cool_down: int = 800
    adam_rate: float = 3e-3
    muon_rate: float = 0.02
    final_share: float = 0.02
    seed: int = 0
    checkpoint_every: int = 200


@dataclass
class Progress:
    """What is logged: smoothed loss, validation losses, seconds."""

    step: int = 0
    smooth_loss: float = math.nan
    seconds: float = 0.0
    log: list[dict[str, float]] = field(default_factory=list)


def new_model(shape: ModelShape, end_of_text: int, seed: int = 0) -> Qwen3_5ForCausalLM:
    """A freshly initialised model; the seed alone decides its weights."""
    torch.manual_seed(seed)
    config = Qwen3_5TextConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.d_model,
        intermediate_size=3 * shape.d_model,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_dim,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=shape.linear_key_dim,
        linear_value_head_dim=shape.linear_value_dim,
        linear_conv_kernel_dim=4,
        layer_types=[
            "full_attention" if n % 4 == 3 else "linear_attention" for n in range(shape.layers)
        ],
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=end_of_text,
        pad_token_id=end_of_text,
    )
    return Qwen3_5ForCausalLM(config)


def new_optimizers(model: Qwen3_5ForCausalLM, recipe: Training) -> list[torch.optim.Optimizer]:
    """AdamW for embedding, norms and convolutions; Muon for the matrices between layers."""
    embedding = model.get_input_embeddings().weight
    parameters = list(model.parameters())
    matrices = [p for p in parameters if p.ndim == 2 and p is not embedding]
    wide = [p for p in parameters if p is embedding or p.ndim > 2]
    narrow = [p for p in parameters if p.ndim < 2]
    adam = torch.optim.AdamW(
        [{"params": wide, "weight_decay": 0.05}, {"params": narrow, "weight_decay": 0.0}],
        lr=recipe.adam_rate,
        betas=(0.9, 0.95),
    )
    muon = torch.optim.Muon(matrices, lr=recipe.muon_rate, momentum=0.95, weight_decay=0.02)
    return [adam, muon]


def rate_at(step: int, recipe: Training) -> float:
    """Share of the full learning rate at `step`: linear warm-up, flat, linear cool-down.

    Flat in the middle, so that `steps` can still be changed on resume before the cool-down.
    """
    warm = min(1.0, (step + 1) / recipe.warm_up)
    cool = min(1.0, (recipe.steps - step) / recipe.cool_down)
    return warm * max(recipe.final_share, cool)


def batch_at(
    step: int, ids: npt.NDArray[np.uint16], recipe: Training
) -> Int[Tensor, "batch context_plus_one"]:
    """The windows of one step, a function of (seed, step) only.

    Each epoch cuts the ids into windows at a fresh offset and visits every window once.
    """
    span = recipe.context
    per_epoch = (len(ids) - 1 - span) // span // recipe.batch
    epoch, place = divmod(step, per_epoch)
    random = np.random.default_rng([recipe.seed, epoch])
    offset = int(random.integers(span))
    order = random.permutation(per_epoch * recipe.batch)
    starts = offset + span * order[place * recipe.batch : (place + 1) * recipe.batch]
    return torch.from_numpy(np.stack([ids[s : s + span + 1] for s in starts]).astype(np.int64))


def token_losses(
    model: Qwen3_5ForCausalLM, windows: Int[Tensor, "batch context_plus_one"]
) -> Float[Tensor, "batch context"]:
    """Cross-entropy -log p(next token) in nats, float32 throughout.

    Without matrix units for bfloat16 a CPU multiplies float32 faster (measured: 0.85 s against
    1.04 s a step).
    """
    hidden = model.model(input_ids=windows[:, :-1], use_cache=False).last_hidden_state
    logits = hidden.flatten(0, 1) @ model.lm_head.weight.T  # (token, vocabulary)
    losses = F.cross_entropy(logits, windows[:, 1:].flatten(), reduction="none")
    return losses.view(windows.shape[0], -1)


@torch.no_grad()
def validate(
    model: Qwen3_5ForCausalLM, packed: Packed, context: int, windows: int
) -> dict[str, float]:
    """Mean loss per tag and over all ("all") on evenly spaced windows of `packed`."""
    starts = np.linspace(0, len(packed.ids) - context - 1, windows).astype(int)
    losses: dict[str, list[npt.NDArray[np.float32]]] = defaultdict(list)
    for chunk in np.array_split(starts, max(1, windows // 8)):
        rows = np.stack([packed.ids[s : s + context + 1] for s in chunk]).astype(np.int64)
        loss = token_losses(model, torch.from_numpy(rows)).numpy()
        tags = np.stack([packed.tags[s + 1 : s + context + 1] for s in chunk])
        losses["all"].append(loss.ravel())
        for tag in np.unique(tags):
            losses[packed.tag_names[tag]].append(loss[tags == tag])
    return {name: float(np.concatenate(values).mean()) for name, values in losses.items()}


def train(
    work: Path, packed: Packed, held_out: Packed, model: Qwen3_5ForCausalLM, recipe: Training,
    stop_after: int | None = None,
) -> Progress:  # fmt: skip
    """Train in place up to recipe.steps, from work/checkpoint.pt if there is one.

    A resumed run gives the same weights as an unbroken one on the same machine. `stop_after`
    ends early after that many steps in all, leaving a checkpoint.
    """
    optimizers = new_optimizers(model, recipe)
    full_rates = [[group["lr"] for group in o.param_groups] for o in optimizers]
    progress = _resume(work / "checkpoint.pt", model, optimizers, recipe)
    last = min(recipe.steps, stop_after or recipe.steps)
    started = time.monotonic() - progress.seconds
    while progress.step < last:
        for optimizer, rates in zip(optimizers, full_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * rate_at(progress.step, recipe)
        loss = _step(model, optimizers, batch_at(progress.step, packed.ids, recipe))
        before = progress.smooth_loss
        progress.smooth_loss = loss if math.isnan(before) else 0.97 * before + 0.03 * loss
        progress.step += 1
        progress.seconds = time.monotonic() - started
        if progress.step % recipe.checkpoint_every == 0 or progress.step == last:
            _note(progress, validate(model, held_out, recipe.context, 24)["all"])
            _save(work / "checkpoint.pt", model, optimizers, progress, recipe)
    return progress


def _step(
    model: Qwen3_5ForCausalLM, optimizers: list[torch.optim.Optimizer], windows: Tensor
) -> float:
    loss = token_losses(model, windows).mean()
    torch.autograd.backward(loss)
    # Muon normalises its own updates; only AdamW's share needs clipping
    adam_parameters = [p for group in optimizers[0].param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(adam_parameters, 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _note(progress: Progress, validation: float) -> None:
    entry = {
        "step": progress.step,
        "loss": round(progress.smooth_loss, 4),
        "validation": round(validation, 4),
        "seconds": round(progress.seconds),
    }
    progress.log.append(entry)
    log.info("%s", json.dumps(entry))


def _save(
    path: Path, model: Qwen3_5ForCausalLM, optimizers: list[torch.optim.Optimizer],
    progress: Progress, recipe: Training,
) -> None:  # fmt: skip
    state = {
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
        "progress": asdict(progress),
        "recipe": asdict(recipe),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)  # a kill while writing leaves the old checkpoint whole


def _resume(
    path: Path, model: Qwen3_5ForCausalLM, optimizers: list[torch.optim.Optimizer],
    recipe: Training,
) -> Progress:  # fmt: skip
    if not path.exists():
        return Progress()
    state: dict[str, Any] = torch.load(path, weights_only=True)
    _check_recipe(state["recipe"], recipe, state["progress"]["step"])
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Progress(**state["progress"])


def _check_recipe(saved: dict[str, Any], recipe: Training, step: int) -> None:
    """Only `steps` may differ, and only while neither schedule has begun its cool-down."""
    wanted = asdict(recipe)
    if {**saved, "steps": 0} != {**wanted, "steps": 0}:
        raise ValueError(f"the checkpoint was trained by {saved}, not by {wanted}")
    earliest_end = min(saved["steps"], recipe.steps)
    if saved["steps"] != recipe.steps and step > earliest_end - recipe.cool_down:
        raise ValueError(
            f"step {step} is too late to change {saved['steps']} steps to {recipe.steps}"
        )
