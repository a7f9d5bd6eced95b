"""The model and the SAEs that a worker keeps in memory from one step to the next."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from transformers import PreTrainedModel

from scopebook.errors import CheckpointError
from scopebook_workers.qwen.model import load_model
from scopebook_workers.sae.weights import SparseAutoencoder, read_converted


def load_pair(
    model_path: str, artifacts: Mapping[int, str], device: torch.device
) -> tuple[PreTrainedModel, dict[int, SparseAutoencoder]]:
    """Return the model and the SAE of each layer, after a check that they fit each other."""
    model = _model(model_path, device)
    saes = _saes(tuple(sorted(artifacts.items())), device)
    _check_widths(model, saes)
    return model, saes


def _check_widths(model: PreTrainedModel, saes: Mapping[int, SparseAutoencoder]) -> None:
    width = model.config.get_text_config().hidden_size
    for number, sae in saes.items():
        if sae.d_model != width:
            raise CheckpointError(
                f"The SAE of layer {number} reads a residual stream of width {sae.d_model}, "
                f"but the model's is {width}; add the release again with the model it is for."
            )


# The shards of a run come one after the other, so one model and its SAEs stay loaded.
@lru_cache(maxsize=1)
def _model(path: str, device: torch.device) -> PreTrainedModel:
    return load_model(Path(path), device)


@lru_cache(maxsize=1)
def _saes(
    artifacts: tuple[tuple[int, str], ...], device: torch.device
) -> dict[int, SparseAutoencoder]:
    return {layer: read_converted(Path(path), device) for layer, path in artifacts}


def forget_loaded() -> None:
    """Let go of what is kept, so that another model has room."""
    _model.cache_clear()
    _saes.cache_clear()
