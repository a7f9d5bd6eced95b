"""Write a preset as a PEFT adapter: a bias of each layer's down-projection, and no other change."""

import re
from pathlib import Path

import torch
from safetensors.torch import save_file

from scopebook.errors import InvalidInputError
from scopebook.export_targets import mixture_refused
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.writing import added_vectors, json_text, write_text


def write(preset: CompiledPreset, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`.

    The adapter is a LoRA of rank 1 whose two factors are zero and whose bias is the vector: a bias
    in the model's own weights would be dropped when they are loaded, without an error.

    Raises InvalidInputError for a mixture of experts, and where the width of the model's
    feed-forward layers is not known.
    """
    for reason in mixture_refused(preset.model_type):
        raise InvalidInputError(reason)
    if preset.d_ff is None:
        raise InvalidInputError(
            f"how wide the feed-forward layers of this {preset.model_type} are is not known, which "
            "an adapter must say: use the target transformers or gguf."
        )
    vectors = added_vectors(preset)
    numbers = "|".join(str(number) for number in vectors)
    tensors = {}
    for number, vector in vectors.items():
        name = f"base_model.model.model.layers.{number}.mlp.down_proj"
        tensors[f"{name}.lora_A.weight"] = torch.zeros(1, preset.d_ff)
        tensors[f"{name}.lora_B.weight"] = torch.zeros(preset.d_model, 1)
        tensors[f"{name}.lora_B.bias"] = vector
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": preset.document["model"]["id"],
        "inference_mode": True,
        "r": 1,
        "lora_alpha": 1,
        "lora_dropout": 0.0,
        "bias": "none",
        "lora_bias": True,
        "target_modules": rf"{re.escape('model.layers.')}({numbers}){re.escape('.mlp.down_proj')}",
    }
    write_text(folder / "adapter_config.json", json_text(config))
