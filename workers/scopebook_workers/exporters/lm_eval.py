"""Write a preset for the model `steered` of lm-evaluation-harness."""

from pathlib import Path

import torch

from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `steering.pt`, which loads with `weights_only` too."""
    points = {
        f"layers.{number}": {
            "steering_vector": vector,
            "steering_coefficient": 1.0,
            "action": "add",
            "bias": None,
            "head_index": None,
        }
        for number, vector in added_vectors(preset).items()
    }
    torch.save(points, folder / "steering.pt")
