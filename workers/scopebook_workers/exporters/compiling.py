"""Turn a preset's document into edits of the SAEs that it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from scopebook.errors import InvalidInputError
from scopebook.preset_documents import amount_of, draft_of, strengths_of
from scopebook_workers.exporters.compiled import CompiledLayer, CompiledPreset
from scopebook_workers.qwen.weights_hash import weights_sha256
from scopebook_workers.sae.edits import Edit
from scopebook_workers.sae.weights import SparseAutoencoder


def compile_preset(
    document: Mapping[str, Any],
    saes: Mapping[int, SparseAutoencoder],
    model_path: Path,
    special: frozenset[int],
) -> CompiledPreset:
    """Return a preset with the tensors of its layers.

    Args:
        document: See `scopebook.preset_documents`.
        saes: At least those that it names, by layer.
        model_path: The folder of the model that it steers.
        special: Ids of the tokens that stand for no text.

    Raises:
        InvalidInputError: The weights in the folder are others than when the preset was saved.
    """
    _check_weights(document, model_path)
    text: Any = AutoConfig.from_pretrained(
        model_path, local_files_only=True, trust_remote_code=False
    ).get_text_config()
    edits = edits_of(document)
    return CompiledPreset(
        document=document,
        model_type=text.model_type,
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        layers={layer: CompiledLayer(saes[layer], of) for layer, of in edits.items()},
        positions=draft_of(document).positions,
        special=special,
        d_ff=getattr(text, "intermediate_size", None),
    )


def edits_of(document: Mapping[str, Any]) -> dict[int, list[Edit]]:
    """Return what is enabled, by layer, in absolute numbers and with its group's strength."""
    layers = {one["ref"]: one["layer"] for one in document["sae"]}
    strengths = strengths_of(document)
    found: dict[int, list[Edit]] = {}
    for one in document["interventions"]:
        if one["enabled"]:
            value = amount_of(one).get("absolute", 0.0)
            edit = Edit(one["feature"], one["op"], value, strengths[one["group"]])
            found.setdefault(layers[one["sae"]], []).append(edit)
    return found


def _check_weights(document: Mapping[str, Any], model_path: Path) -> None:
    pinned = document["model"]["weights_sha256"]
    here = weights_sha256(model_path) if pinned else None
    if pinned and here != pinned:
        raise InvalidInputError(
            f"The weights of {document['model']['id']} in {model_path.name} are others than when "
            f"the preset was saved (SHA-256 {str(here)[:12]}..., then {pinned[:12]}...); bring "
            "them back, or save a new version."
        )
