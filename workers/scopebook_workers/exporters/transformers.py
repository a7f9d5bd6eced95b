"""Write a preset for transformers: tensors, and one file of code that steers by them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from scopebook.errors import InvalidInputError
from scopebook.steering import ENCODED
from scopebook_workers.exporters.compiled import CompiledLayer, CompiledPreset
from scopebook_workers.exporters.plain_files import plain_file
from scopebook_workers.exporters.writing import added_vectors, projection

#: The tensors, by name: `layers.{n}` is what is added after layer n (d_model). Where features are
#: encoded, `layers.{n}.w_enc` (d_sae, d_model), `.b_enc` and `.thresholds` (d_sae) are the SAE's,
#: and `.features`, `.values`, `.strengths` (edit) and `.directions` (edit, d_model) the edits.
#: `.basis` (direction, d_model) is orthonormal.
TENSORS = "preset.safetensors"


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `preset.safetensors` and `steer_hook.py`.

    Raises InvalidInputError where special tokens are left out and the preset does not say which
    tokens are special.
    """
    if not preset.positions.special and not preset.special:
        raise InvalidInputError(
            "the preset leaves special tokens out, and its tokenizer has none: steer all tokens."
        )
    write_tensors(preset, folder)
    (folder / "steer_hook.py").write_bytes(plain_file("transformers", "steer_hook.py"))


def write_tensors(preset: CompiledPreset, folder: Path) -> None:
    """Write `preset.safetensors` alone."""
    tensors: dict[str, Tensor] = {
        f"layers.{number}": vector for number, vector in added_vectors(preset).items()
    }
    layers: dict[str, Any] = {}
    for number, layer in sorted(preset.layers.items()):
        encoded = _encoded(layer)
        projected = projection(number, layer)
        parts = dict(encoded)
        if projected:
            parts["basis"] = projected[0]
        tensors |= {f"layers.{number}.{name}": part for name, part in parts.items()}
        layers[str(number)] = {
            "k": layer.sae.k if encoded else None,
            "ops": [edit.op for edit in layer.edits if edit.op in ENCODED],
            "kept": projected[1] if projected else None,
        }
    about = {
        "format": "scopebook-steering/1.0",
        "model": preset.document["model"]["id"],
        "model_type": preset.model_type,
        "n_layers": preset.n_layers,
        "d_model": preset.d_model,
        "positions": {
            "prompt": preset.positions.prompt,
            "written": preset.positions.written,
            "special": preset.positions.special,
        },
        "special_token_ids": sorted(preset.special),
        "layers": layers,
    }
    # One key: the order of several is another one in each process.
    save_file(tensors, folder / TENSORS, metadata={"steering": json.dumps(about)})


def _encoded(layer: CompiledLayer) -> dict[str, Tensor]:
    """Return what edits need that depend on how strongly a feature fires; nothing: there are none.

    The encoder is whole and in the SAE's own precision: whether a feature is among the strongest
    is not told by its row alone.
    """
    edits = [edit for edit in layer.edits if edit.op in ENCODED]
    if not edits:
        return {}
    sae = layer.sae
    features = torch.tensor([edit.feature for edit in edits], dtype=torch.int64)
    found = {
        "w_enc": sae.w_enc,
        "b_enc": sae.b_enc,
        "features": features,
        "directions": sae.w_dec[features.to(sae.w_dec.device)].float(),
        "values": torch.tensor([edit.value for edit in edits], dtype=torch.float64).float(),
        "strengths": torch.tensor([edit.strength for edit in edits], dtype=torch.float64).float(),
    }
    if sae.thresholds is not None:
        found["thresholds"] = sae.thresholds
    return {name: tensor.detach().cpu().contiguous() for name, tensor in found.items()}
