"""What the writers of several targets share: added vectors, projections, and text files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float32
from torch import Tensor

from scopebook.errors import InvalidInputError
from scopebook_workers.exporters.compiled import CompiledLayer, CompiledPreset

#: Share of the largest singular value below which a direction adds nothing to a space; as in
#: live steering.
_SAME_DIRECTION: Final = 1e-6

#: `preset.json` in the folder of an export.
PRESET_FILE: Final = "preset.json"


def document_text(document: Mapping[str, Any]) -> str:
    """Return the text of `preset.json`, the same in every file that holds it."""
    return json_text(document)


def json_text(value: Any) -> str:
    """Return JSON as people read it, the same at every call; NaN and infinity are an error."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def json_line(value: Any) -> str:
    """Return JSON in one line, for vectors, which would fill a hundred thousand."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with plain line ends, on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def added_vectors(preset: CompiledPreset) -> dict[int, Float32[Tensor, " d_model"]]:
    """Return what is added after each layer, in the order of the layers.

    Raises InvalidInputError for a vector that is not finite.
    """
    found = {}
    for number, layer in sorted(preset.layers.items()):
        vector = layer.vector
        if vector is None:
            continue
        if not vector.isfinite().all():
            raise InvalidInputError(
                f"what is added in layer {number} is not finite in float32: give smaller values."
            )
        found[number] = vector.contiguous()
    return found


def projection(
    number: int, layer: CompiledLayer
) -> tuple[Float32[Tensor, "direction d_model"], float] | None:
    """Return an orthonormal basis of the projected space and what its part is multiplied by.

    None: nothing is projected. Raises InvalidInputError where projections do not leave the same.
    """
    edits = [edit for edit in layer.edits if edit.op == "project"]
    if not edits:
        return None
    kept = {1 + (edit.value - 1) * edit.strength for edit in edits}
    if len(kept) > 1:
        raise InvalidInputError(
            f"projections of layer {number} leave different shares of their space: give them one "
            "value and groups of one strength."
        )
    w_dec = layer.sae.w_dec
    features = torch.tensor([edit.feature for edit in edits], device=w_dec.device)
    _, sizes, basis = torch.linalg.svd(w_dec[features].double().cpu(), full_matrices=False)
    basis = basis[sizes > sizes.max() * _SAME_DIRECTION]
    return basis.float().contiguous(), kept.pop()
