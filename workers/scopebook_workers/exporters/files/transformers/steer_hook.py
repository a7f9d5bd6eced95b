"""Steer a model of transformers by a preset that Scopebook has exported.

    from transformers import AutoModelForCausalLM, AutoTokenizer
    from steer_hook import steered

    with steered(model, "."):
        model.generate(**tokenizer("The house stands", return_tensors="pt"), max_new_tokens=50)

The preset says which tokens are steered. Where the prompt's and the written ones are not treated
alike, say how long the prompt is, padding included: `prompt_tokens=inputs["input_ids"].shape[1]`.
Pad on the left. A cache holds what steering did to it: never use one inside and outside the block.

Needs torch, transformers and safetensors, and `preset.safetensors` in the folder.
"""

import json
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

FILE = "preset.safetensors"
#: Tokens that are encoded at once; more take memory, fewer time.
TOKENS = 256


@contextmanager
def steered(model, folder=".", prompt_tokens=None):
    """Steer the model inside the block; its hooks go with the block, whatever happens.

    Raises:
        ValueError: The preset is for another model, or which tokens to steer cannot be told.
    """
    preset = about(folder)
    _check(model, preset, prompt_tokens)
    layers = layers_of(folder)
    run = _Run(preset["positions"], preset["special_token_ids"], prompt_tokens)
    decoder = model.get_decoder()
    handles = [decoder.register_forward_pre_hook(run.decoder_begins, with_kwargs=True)]
    if decoder is not model:
        handles.append(model.register_forward_pre_hook(run.model_begins, with_kwargs=True))
    for number, layer in layers.items():
        handles.append(decoder.layers[number].register_forward_hook(run.changing(layer)))
    try:
        yield model
    finally:
        for handle in handles:
            handle.remove()


def about(folder="."):
    """Return what the preset says of its model, positions and layers."""
    with safe_open(Path(folder) / FILE, framework="pt") as file:
        return json.loads(file.metadata()["steering"])


def layers_of(folder="."):
    """Return what is done to each layer, by its number from 0."""
    tensors = load_file(Path(folder) / FILE)
    return {
        int(number): _Layer(of, tensors, f"layers.{number}")
        for number, of in about(folder)["layers"].items()
    }


def _check(model, preset, prompt_tokens):
    config = model.config.get_text_config()
    here = (config.num_hidden_layers, config.hidden_size)
    wanted = (preset["n_layers"], preset["d_model"])
    if here != wanted:
        raise ValueError(
            f"the preset is for {preset['model']} with {wanted[0]} layers of width {wanted[1]}, "
            f"but this model has {here[0]} of width {here[1]}: load the model it was made for"
        )
    positions = preset["positions"]
    if prompt_tokens is None and (positions["prompt"], positions["written"]) != ("all", True):
        raise ValueError(
            "the preset does not steer the prompt as it steers what is written, and where the "
            "prompt ends was not said: give prompt_tokens, its length with padding"
        )


class _Run:
    """Which tokens of the run under way are steered."""

    def __init__(self, positions, special, prompt_tokens):
        self.positions = positions
        self.special = torch.tensor(special, dtype=torch.int64)
        self.prompt_tokens = prompt_tokens
        self.token_ids = None
        self.where = None

    def model_begins(self, _model, args, kwargs):
        # A model that also sees images gives its decoder no token ids.
        self.token_ids = _token_ids(args, kwargs)

    def decoder_begins(self, _decoder, args, kwargs):
        token_ids = _token_ids(args, kwargs)
        inputs = token_ids if token_ids is not None else kwargs["inputs_embeds"]
        if token_ids is None:
            token_ids = self.token_ids
        self.token_ids = None
        rows, fresh = inputs.shape[:2]
        cache = kwargs.get("past_key_values")
        # `generate` does not say what it runs: the cache knows how many tokens came before.
        start = 0 if cache is None else int(cache.get_seq_length())
        where = self._chosen(torch.arange(start, start + fresh)).expand(rows, fresh).clone()
        mask = kwargs.get("attention_mask")
        if isinstance(mask, torch.Tensor) and mask.dim() == 2 and mask.shape[1] >= start + fresh:
            self._check_padding(mask)
            where &= mask[:, start : start + fresh].bool().cpu()
        if not self.positions["special"]:
            if token_ids is None or token_ids.shape != where.shape:
                raise ValueError(
                    "the preset leaves special tokens out, and the model got embeddings in place "
                    "of token ids: run it on input_ids"
                )
            where &= ~torch.isin(token_ids.cpu(), self.special)
        self.where = where

    def _chosen(self, place):
        if self.prompt_tokens is None:
            return torch.ones_like(place, dtype=torch.bool)
        prompt = place < self.prompt_tokens
        if self.positions["prompt"] == "all":
            chosen = prompt
        elif self.positions["prompt"] == "last":
            chosen = place == self.prompt_tokens - 1
        else:
            chosen = torch.zeros_like(prompt)
        return chosen | ~prompt if self.positions["written"] else chosen

    def _check_padding(self, mask):
        last = (self.prompt_tokens or 0) - 1
        if 0 <= last < mask.shape[1] and not mask[:, last].all():
            raise ValueError(
                f"position {last} should be the last of every prompt, but of some it is padding: "
                "pad on the left and give prompt_tokens, the prompts' length with padding"
            )

    def changing(self, layer):
        """Return a hook that changes what a layer puts out."""

        def change(_module, _inputs, output):
            hidden = output[0] if isinstance(output, tuple) else output
            where = self.where.to(hidden.device)
            residual = hidden[where]
            if not len(residual):
                return output
            hidden = hidden.clone()
            hidden[where] = (residual.float() + layer.change(residual)).to(hidden.dtype)
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        return change


def _token_ids(args, kwargs):
    found = kwargs.get("input_ids")
    return args[0] if found is None and args else found


class _Layer:
    """What is done to a layer's output h; f are the SAE's activations of it, d its directions.

    add: h + v; set, min_set, ablate, scale: h + strength (wanted - f) d, so that what the SAE does
    not explain of h stays; project: the part of h in a space is multiplied. All from the same h.
    """

    def __init__(self, about, tensors, prefix):
        self.k = about["k"]
        self.ops = about["ops"]
        self.kept = about["kept"]
        start = f"{prefix}."
        self.parts = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        if prefix in tensors:
            self.parts["vector"] = tensors[prefix]

    @torch.no_grad()
    def change(self, residual):
        """Return what is to be added to each token, in float32."""
        self.parts = {name: tensor.to(residual.device) for name, tensor in self.parts.items()}
        residual = residual.float()
        change = torch.zeros_like(residual)
        if "vector" in self.parts:
            change += self.parts["vector"]
        if self.ops:
            for start in range(0, len(residual), TOKENS):
                change[start : start + TOKENS] += self._edited(residual[start : start + TOKENS])
        if "basis" in self.parts:
            basis = self.parts["basis"]
            change += (self.kept - 1) * (residual @ basis.T) @ basis
        return change

    def _edited(self, residual):
        now = self._activations(residual)
        more = torch.empty_like(now)
        for column, op in enumerate(self.ops):
            f, value = now[:, column], self.parts["values"][column]
            if op == "set":
                wanted = value.expand_as(f)
            elif op == "min_set":
                wanted = f.clamp(min=float(value))
            elif op == "scale":
                wanted = f * value
            else:
                wanted = torch.zeros_like(f)  # ablate
            more[:, column] = wanted - f
        return (more * self.parts["strengths"]) @ self.parts["directions"]

    def _activations(self, residual):
        """Return the activations of the edited features, found by the SAE's rule over all."""
        parts, features = self.parts, self.parts["features"]
        all_of_them = residual @ parts["w_enc"].float().T + parts["b_enc"].float()
        found = all_of_them[:, features]
        if self.k is not None:
            places = all_of_them.topk(self.k).indices
            is_kept = (places[:, :, None] == features).any(dim=1)
            return torch.where(is_kept, found, 0).clamp(min=0)
        if "thresholds" in parts:
            above = found > parts["thresholds"][features].float().clamp(min=0)
            return torch.where(above, found, 0)
        return found.clamp(min=0)
