"""Write tiny SAEs in SAELens's format, as its versions 1 to 6 lay them out."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

#: A change that takes an entry away.
GONE: Any = object()


def saelens_config(d_in: int, d_sae: int, layer: int = 2, /, **changes: Any) -> dict[str, Any]:
    """Return a cfg.json of version 6; a change named like an entry of `metadata` goes there."""
    config: dict[str, Any] = {
        "architecture": "standard",
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.0",
            "model_name": "Tiny-Model",
            "hook_name": f"blocks.{layer}.hook_resid_post",
            "hook_head_index": None,
            "prepend_bos": True,
        },
    }
    for key, value in changes.items():
        part = config["metadata"] if key in config["metadata"] else config
        part[key] = value
        if value is GONE:
            del part[key]
    return config


def flat_config(d_in: int, d_sae: int, layer: int = 2, /, **changes: Any) -> dict[str, Any]:
    """Return a cfg.json as versions 3 to 5 wrote it: everything on one level."""
    config: dict[str, Any] = {
        "architecture": "standard",
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "torch.float32",
        "device": "cpu",
        "model_name": "Tiny-Model",
        "hook_name": f"blocks.{layer}.hook_resid_post",
        "hook_layer": layer,
        "hook_head_index": None,
        "activation_fn_str": "relu",
        "activation_fn_kwargs": {},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "normalize_activations": "none",
        "context_size": 128,
        **changes,
    }
    return {key: value for key, value in config.items() if value is not GONE}


def saelens_tensors(d_in: int, d_sae: int, *, seed: int = 0, **more: Any) -> dict[str, Tensor]:
    """Return what a sae_weights.safetensors holds, with decoder rows of many norms."""
    generator = torch.Generator().manual_seed(seed)
    norms = 0.2 + 2 * torch.rand(d_sae, 1, generator=generator)
    tensors = {
        "W_enc": torch.randn(d_in, d_sae, generator=generator),
        "b_enc": torch.randn(d_sae, generator=generator) / 10 - 3,
        "W_dec": torch.randn(d_sae, d_in, generator=generator) * norms,
        "b_dec": torch.randn(d_in, generator=generator) / 2,
    }
    return {name: value for name, value in {**tensors, **more}.items() if value is not GONE}


def write_saelens(folder: Path, config: Any, tensors: dict[str, Tensor]) -> Path:
    """Write one SAE's folder; return the weights' path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(config if isinstance(config, str) else json.dumps(config))
    held = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(held, folder / "sae_weights.safetensors")
    return folder / "sae_weights.safetensors"


def write_layers(folder: Path, layers: list[int], d_in: int, d_sae: int, **changes: Any) -> Path:
    """Write a folder with one sub-folder for each layer."""
    for layer in layers:
        write_saelens(
            folder / f"blocks.{layer}.hook_resid_post",
            saelens_config(d_in, d_sae, layer, **changes),
            saelens_tensors(d_in, d_sae, seed=layer),
        )
    return folder
