"""Write a preset for vllm-lens, a plugin of vLLM."""

import base64
from pathlib import Path

import torch

from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors, json_line, write_text


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `steering.json`: one vector of several layers, little-endian float32 in base64.

    Its text is what a request gives as `vllm_xargs.apply_steering_vectors`. The norm is not
    matched: that would take back a part of what is added.
    """
    vectors = added_vectors(preset)
    rows = torch.stack(list(vectors.values())).numpy().astype("<f4")
    steering = {
        "activations": {
            "data": base64.b64encode(rows.tobytes()).decode("ascii"),
            "dtype": "float32",
            "original_dtype": "torch.float32",
            "shape": list(rows.shape),
        },
        "layer_indices": list(vectors),
        "scale": 1.0,
        "norm_match": False,
    }
    write_text(folder / "steering.json", json_line([steering]))
