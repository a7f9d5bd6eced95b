"""TopK sparse autoencoders on the residual stream, folded to the Qwen-Scope file format."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Qwen3_5ForCausalLM

log = logging.getLogger(__name__)

FILE_KEYS = ("W_enc", "W_dec", "b_enc", "b_dec")


@dataclass(frozen=True)
class SaeRecipe:
    """One step sees `batch` activations; the rate falls linearly to 0 in the last quarter."""

    width: int = 1024
    k: int = 8
    steps: int = 2000
    batch: int = 2048
    tokens: int = 1_000_000
    rate: float = 1e-3
    warm_up: int = 50
    context: int = 256
    seed: int = 0


@dataclass(frozen=True)
class Sae:
    """One layer's autoencoder in raw residual units, as Qwen-Scope stores it.

    Attributes:
        W_enc: shape (d_sae, d_model).
        W_dec: shape (d_model, d_sae); column f is the direction of feature f, of norm 1.
        b_enc: shape (d_sae,).
        b_dec: shape (d_model,).
        k: how many features may fire per token; the file does not hold it, the name does.
    """

    W_enc: Float[Tensor, "d_sae d_model"]
    W_dec: Float[Tensor, "d_model d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    b_dec: Float[Tensor, " d_model"]
    k: int

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.b_enc.shape[0])


def encode(
    sae: Sae, x: Float[Tensor, "token d_model"]
) -> tuple[Float[Tensor, "token k"], Int[Tensor, "token k"]]:
    """Activations and feature indices per token, strongest first.

    v, i = topk(relu(x W_enc^T + b_enc), k); float32, raw residual units; v may hold zeros.
    """
    values, indices = (x.float() @ sae.W_enc.T + sae.b_enc).relu().topk(sae.k, dim=-1)
    return values, indices


def write_back(
    sae: Sae, values: Float[Tensor, "token k"], indices: Int[Tensor, "token k"]
) -> Float[Tensor, "token d_model"]:
    """What the features add to the residual stream: sum_k v_k W_dec[:, i_k], without b_dec."""
    return nn.functional.embedding_bag(
        indices, sae.W_dec.T.contiguous(), per_sample_weights=values, mode="sum"
    )


def reconstruct(sae: Sae, x: Float[Tensor, "token d_model"]) -> Float[Tensor, "token d_model"]:
    """x_hat = z W_dec^T + b_dec with z = encode(x)."""
    return write_back(sae, *encode(sae, x)) + sae.b_dec


def save_sae(sae: Sae, path: Path) -> None:
    """Write the four tensors, float32 and contiguous, under their Qwen-Scope names."""
    torch.save({key: getattr(sae, key).float().contiguous() for key in FILE_KEYS}, path)


def load_sae(path: Path, k: int) -> Sae:
    """Read what `save_sae` wrote."""
    state = torch.load(path, weights_only=True)
    if set(state) != set(FILE_KEYS):
        raise ValueError(f"{path} holds {sorted(state)}, expected {sorted(FILE_KEYS)}")
    return Sae(**{key: state[key].float() for key in FILE_KEYS}, k=k)


Edit = Callable[[Float[Tensor, "batch position d_model"]], Float[Tensor, "batch position d_model"]]


@contextmanager
def residual(
    model: Qwen3_5ForCausalLM, layer: int, edit: Edit | None = None
) -> Iterator[list[Float[Tensor, "batch position d_model"]]]:
    """Watch, or replace by `edit`, the output of decoder layer `layer` (before any final norm).

    The list that is yielded holds the last output seen, before the edit.
    """
    seen: list[Tensor] = []

    def hook(_module: nn.Module, _args: object, output: Tensor) -> Tensor | None:
        seen[:] = [output]
        return edit(output) if edit else None

    handle = model.model.layers[layer].register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


@torch.no_grad()
def collect(
    model: Qwen3_5ForCausalLM, ids: npt.NDArray[np.uint16], starts: Sequence[int],
    layers: Sequence[int], context: int,
) -> dict[int, Float[Tensor, "token d_model"]]:  # fmt: skip
    """float16 activations per layer, of the windows ids[s : s + context] one after the other.

    Position 0 of each window is left out: it sees nothing and lies far from all others. So each
    window gives context - 1 rows.
    """
    rows: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for at in range(0, len(starts), 16):
        windows = np.stack([ids[s : s + context] for s in starts[at : at + 16]]).astype(np.int64)
        hidden = hidden_states(model, torch.from_numpy(windows), layers)
        for layer in layers:
            rows[layer].append(hidden[layer][:, 1:].flatten(0, 1).half())  # (token, d_model)
    return {layer: torch.cat(parts) for layer, parts in rows.items()}


def hidden_states(
    model: Qwen3_5ForCausalLM, windows: Int[Tensor, "batch position"], layers: Sequence[int]
) -> dict[int, Float[Tensor, "batch position d_model"]]:
    """Outputs of several decoder layers in one forward pass."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _args: object, output: Tensor) -> None:
            seen[layer] = output

        return hook

    handles = [model.model.layers[n].register_forward_hook(keep(n)) for n in layers]
    try:
        model.model(input_ids=windows, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def window_starts(tokens: int, context: int, wanted: int, seed: int) -> list[int]:
    """Starts of disjoint windows in random order, enough for `wanted` tokens."""
    all_starts = np.arange(0, tokens - context, context)
    order = np.random.default_rng(seed).permutation(len(all_starts))
    return [int(all_starts[i]) for i in order[: max(1, wanted // context)]]


def train_sae(activations: Float[Tensor, "token d_model"], recipe: SaeRecipe) -> Sae:
    """Fit by Adam on the share of variance left over; the result is folded to raw units.

    Trained in centred units, y = c x with c = sqrt(d) / mean |x - mean|:
    z = topk(relu((y - b) W^T + b_enc)), y_hat = z D + b, rows of D of norm 1,
    loss = mean |y - y_hat|^2 / mean |y - mean y|^2.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    sample = activations[:200_000].float()
    d_model = sample.shape[1]
    scale = math.sqrt(d_model) / float((sample - sample.mean(0)).norm(dim=1).mean())
    start = torch.randn(recipe.width, d_model, generator=generator)
    start = start / start.norm(dim=1, keepdim=True)
    encoder, decoder = start.clone().requires_grad_(), start.clone().requires_grad_()
    threshold = torch.zeros(recipe.width, requires_grad=True)
    centre = (sample.mean(0) * scale).requires_grad_()
    optimizer = torch.optim.Adam([encoder, decoder, threshold, centre], lr=recipe.rate)
    batches = _batches(activations, recipe, generator)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _rate_at(step, recipe)
        loss = _variance_left(
            next(batches).float() * scale, encoder, decoder, threshold, centre, recipe.k
        )
        torch.autograd.backward(loss)
        _keep_on_sphere(decoder)
        torch.nn.utils.clip_grad_norm_([encoder, decoder, threshold, centre], 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True)
        if (step + 1) % 500 == 0:
            log.info("sae step %d: %.4f of the variance left", step + 1, float(loss.detach()))
    return fold(
        encoder.detach(), decoder.detach(), threshold.detach(), centre.detach(), scale, recipe.k
    )


def fold(
    encoder: Float[Tensor, "d_sae d_model"], decoder: Float[Tensor, "d_sae d_model"],
    threshold: Float[Tensor, " d_sae"], centre: Float[Tensor, " d_model"], scale: float, k: int,
) -> Sae:  # fmt: skip
    """Move centring and scale into the biases, so that raw activations go in and come out.

    W_enc = W, b_enc = (b_enc - W b) / c, W_dec = D^T, b_dec = b / c.
    """
    return Sae(
        W_enc=encoder.clone(),
        W_dec=decoder.T.contiguous(),
        b_enc=(threshold - encoder @ centre) / scale,
        b_dec=centre / scale,
        k=k,
    )


def _variance_left(
    y: Tensor, encoder: Tensor, decoder: Tensor, threshold: Tensor, centre: Tensor, k: int
) -> Tensor:
    pre = (y - centre) @ encoder.T + threshold
    values, indices = pre.relu().topk(k, dim=-1)
    codes = torch.zeros_like(pre).scatter(-1, indices, values)
    error = y - (codes @ decoder + centre)
    return error.pow(2).sum(1).mean() / (y - y.mean(0)).pow(2).sum(1).mean()


@torch.no_grad()
def _keep_on_sphere(decoder: Tensor) -> None:
    """Take out of the gradient what would only change the rows' norms."""
    if decoder.grad is not None:
        decoder.grad -= (decoder.grad * decoder).sum(1, keepdim=True) * decoder


def _rate_at(step: int, recipe: SaeRecipe) -> float:
    warm = min(1.0, (step + 1) / recipe.warm_up)
    return warm * min(1.0, (recipe.steps - step) / (0.25 * recipe.steps))


def _batches(
    activations: Tensor, recipe: SaeRecipe, generator: torch.Generator
) -> Iterator[Float[Tensor, "batch d_model"]]:
    size = min(recipe.batch, len(activations))
    while True:
        order = torch.randperm(len(activations), generator=generator)
        for at in range(0, len(order) - size + 1, size):
            yield activations[order[at : at + size]]
