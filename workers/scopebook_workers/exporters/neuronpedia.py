"""Write a preset for Neuronpedia: what is posted to make its vectors, one a layer."""

from pathlib import Path
from typing import Any

from scopebook.errors import InvalidInputError
from scopebook.export_targets import strength_refused
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors, json_line, write_text


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `vectors.json`: bodies for `POST /api/vector/new`, of unit length with their strength.

    Raises InvalidInputError for a vector that is longer than Neuronpedia's greatest strength, or
    empty.
    """
    bodies: list[dict[str, Any]] = []
    for number, vector in added_vectors(preset).items():
        length = float(vector.double().norm())
        for reason in strength_refused(number, length):
            raise InvalidInputError(reason)
        if length == 0:
            raise InvalidInputError(
                f"what is added in layer {number} is 0, which has no direction: switch off the "
                "features there."
            )
        unit = vector.double() / length
        bodies.append(
            {
                "modelId": preset.document["model"]["id"].rpartition("/")[2].lower(),
                "layerNumber": number,
                "hookType": "hook_resid_post",
                "vector": unit.float().tolist(),
                "vectorDefaultSteerStrength": length,
                "vectorLabel": f"{preset.document['name']}, layer {number}",
            }
        )
    write_text(folder / "vectors.json", json_line(bodies))
