"""Presets of random SAEs for the tiny models, and their documents."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from scopebook.steering import Positions
from scopebook_workers.exporters.compiled import CompiledLayer, CompiledPreset
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.edits import Edit

TEXTS = [
    [5, 9, 30, 41, 7, 7, 100, 23, 61, 12, 200, 3],
    [17, 250, 33, 8, 90, 77, 310],
    [64, 65, 66, 250, 2, 18, 19, 44, 91],
]
ADD_AND_MORE: dict[int, list[Edit]] = {
    1: [Edit(3, "add", 2.0), Edit(5, "ablate"), Edit(9, "scale", -1.5, 0.5)],
    2: [Edit(8, "set", 1.5), Edit(11, "min_set", 2.0), Edit(20, "add", -1.0, 2.0)],
    3: [Edit(30, "project", 0.25), Edit(31, "project", 0.25), Edit(7, "add", 0.5)],
}
ADDED: dict[int, list[Edit]] = {
    1: [Edit(3, "add", 2.0), Edit(5, "add", -1.0)],
    3: [Edit(8, "add", 1.5, 0.5)],
}


def random_sae(kind: str = "topk", *, d_model: int = 32, seed: int = 1) -> SparseAutoencoder:
    """Return an SAE of 64 features that fire by a rule."""
    generator = torch.Generator().manual_seed(seed)
    thresholds = torch.rand(64, generator=generator) if kind == "threshold" else None
    return SparseAutoencoder(
        w_enc=torch.randn(64, d_model, generator=generator) / 4,
        # Of an SAE without top-k, more than a quarter of all would be refused.
        b_enc=torch.full((64,), 0.0 if kind == "topk" else -9.0),
        w_dec=torch.randn(64, d_model, generator=generator),
        b_dec=torch.randn(d_model, generator=generator),
        k=8 if kind == "topk" else None,
        thresholds=thresholds,
    )


def preset_of(
    model: PreTrainedModel,
    edits: Mapping[int, Sequence[Edit]],
    *,
    positions: Positions | None = None,
    special: frozenset[int] = frozenset(),
    kind: str = "topk",
) -> CompiledPreset:
    """Return a preset that makes edits, by layer."""
    positions = positions or Positions()
    config: Any = model.config.get_text_config()
    return CompiledPreset(
        document=document_of(config, edits, positions, kind),
        model_type=config.model_type,
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        layers={
            number: CompiledLayer(random_sae(kind, d_model=config.hidden_size, seed=number), of)
            for number, of in edits.items()
        },
        positions=positions,
        special=special,
        d_ff=getattr(config, "intermediate_size", None),
    )


def document_of(
    config: Any,
    edits: Mapping[int, Sequence[Edit]],
    positions: Positions | None = None,
    kind: str = "topk",
) -> dict[str, Any]:
    """Return the document of a preset; a group for each strength that is not 1."""
    positions = positions or Positions()
    strengths = sorted({edit.strength for of in edits.values() for edit in of} - {1.0})
    return {
        "schema": "steering-preset/1.0",
        "id": "0f" * 16,
        "name": "no-chinese",
        "description": "Say it in English: 不要中文.",
        "version": 3,
        "parent": None,
        "created": "2026-11-30T12:00:00+00:00",
        "author": "ann",
        "status": "draft",
        "model": {
            "id": "Tiny/Qwen3",
            "revision": None,
            "arch": config.model_type,
            "n_layers": config.num_hidden_layers,
            "d_model": config.hidden_size,
            "tokenizer_sha256": "0" * 64,
            "weights_sha256": None,
        },
        "sae": [
            {"ref": f"s{n}", "release": "Tiny/SAE", "layer": n, "hook": "resid_post", "type": kind}
            for n in edits
        ],
        "groups": [{"name": f"times {strength:g}", "strength": strength} for strength in strengths],
        "interventions": [_intervention(layer, edit) for layer, of in edits.items() for edit in of],
        "positions": {
            "prompt": positions.prompt,
            "generation": "all" if positions.written else "none",
            "exclude_special_tokens": not positions.special,
        },
        "combine": "joint",
        "error_term": "preserve",
        "normalise": "none",
        "tests": [],
        "notice": {
            "caution": "Not for weapons.\nAsk first.",
            "warnings": ["The SAE is of a base."],
        },
    }


def _intervention(layer: int, edit: Edit) -> dict[str, Any]:
    found: dict[str, Any] = {
        "sae": f"s{layer}",
        "feature": edit.feature,
        "id": f"Tiny-Qwen3/{layer}-res-64-l0_8/{edit.feature}",
        "label": "Chinese | language",
        "label_source": "llm",
        "op": edit.op,
        "group": None if edit.strength == 1 else f"times {edit.strength:g}",
        "enabled": True,
    }
    amount = {"value": edit.value, "unit": "raw", "absolute": edit.value}
    if edit.op == "add":
        found["strength"] = amount
    elif edit.op in ("set", "min_set"):
        found["target"] = amount
    elif edit.op != "ablate":
        found["factor"] = {"value": edit.value}
    return found
