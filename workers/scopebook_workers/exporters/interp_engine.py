"""Write a preset for interp-engine, the engine behind Neuronpedia."""

from pathlib import Path
from typing import Any

from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors, json_line, projection, write_text


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `steering.json`, the `steering` of a request.

    Operations of a layer are made one after the other. So projections, which change only what lies
    in their space, come first, a direction of an orthonormal basis at a time: each is then made
    from what it would be made from alone, and what is added is added to the result.
    """
    layers: dict[str, list[dict[str, Any]]] = {}
    vectors = added_vectors(preset)
    for number, layer in sorted(preset.layers.items()):
        operations: list[dict[str, Any]] = []
        projected = projection(number, layer)
        if projected:
            basis, kept = projected
            operations += [
                {"method": "orthogonal", "vector": direction, "coeff": kept}
                for direction in basis.tolist()
            ]
        if number in vectors:
            added = vectors[number].tolist()
            operations.append({"method": "additive", "vector": added, "scale": 1.0})
        layers[str(number)] = operations
    steering = [{"point": "resid_post", "layers": layers}]
    write_text(folder / "steering.json", json_line(steering))
