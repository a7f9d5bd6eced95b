"""Load a model from a folder, and refuse what is none or does not fit, before it is loaded."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from scopebook.errors import CheckpointError, InvalidInputError
from scopebook_workers.memory import free_bytes

# A worker's log is no place for progress bars.
cast(Any, transformers.utils.logging).disable_progress_bar()

#: Room for what is not weights: activations of a batch and the loader's buffers.
_SPARE_BYTES = 200 * 2**20
_ITEM_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1}
_UNKNOWN_ITEM_BYTES = 4


@dataclass(frozen=True)
class ModelFacts:
    """What a model's config says of its text part."""

    kind: str
    layers: int
    d_model: int
    vocab_size: int


def choose_device(wanted: str) -> torch.device:
    """Return the device of the setting `auto`, `cpu` or `cuda`."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InvalidInputError(
            "SCOPEBOOK_DEVICE asks for cuda, but torch finds no CUDA device; set it to auto or cpu."
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def read_facts(path: Path) -> ModelFacts:
    """Return what the config says; only the small file is read."""
    config = _read_config(path)
    text = config.get_text_config()
    return ModelFacts(
        kind=config.model_type,
        layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        vocab_size=text.vocab_size,
    )


def load_model(path: Path, device: torch.device) -> PreTrainedModel:
    """Return the model for reading: evaluation mode, no gradients, on `device`.

    In float32 on the CPU, else in the dtype of its files. Of a multimodal checkpoint only the
    text model is loaded.
    """
    _read_config(path)
    files = weight_files(path)
    _check_fits(path, files, device)
    dtype = torch.float32 if device.type == "cpu" else "auto"
    loader: Any = AutoModelForCausalLM
    try:
        loaded: tuple[Any, dict[str, Any]] = loader.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"the weights in {path} do not fit its config.json ({_first_line(error)}); fetch the "
            "model again."
        ) from error
    model, report = loaded
    _check_complete(path, report)
    ready: PreTrainedModel = model.requires_grad_(False).to(device).eval()
    return ready


def weight_files(path: Path) -> list[Path]:
    """Return the model's safetensors files; raise when there is none."""
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise CheckpointError(
            f"{path} holds no *.safetensors file; give a folder with a model's weights."
        )
    return files


def memory_needed(files: list[Path], device: torch.device) -> int:
    """Estimate the bytes that the weights take on `device`, from the files' headers alone."""
    return sum(
        math.prod(entry["shape"])
        * (4 if device.type == "cpu" else _ITEM_BYTES.get(entry["dtype"], _UNKNOWN_ITEM_BYTES))
        for file in files
        for name, entry in _header(file).items()
        if name != "__metadata__"
    )


def _read_config(path: Path) -> Any:
    file = path / "config.json"
    if not file.exists():
        raise CheckpointError(
            f"{path} is not a model: it holds no config.json; give the folder of a model."
        )
    try:
        kind = json.loads(file.read_bytes())["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file} names no model_type; give the folder of a model that transformers can load."
        ) from error
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} asks for a model of the type {kind!r}, which transformers "
            f"{transformers.__version__} does not load; give a Qwen3 or Qwen3.5 model."
        ) from error
    if not hasattr(config.get_text_config(), "num_hidden_layers"):
        raise CheckpointError(
            f"{file} is for a {kind!r}, which has no decoder layers; give a language model."
        )
    return config


def _header(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        try:
            (size,) = struct.unpack("<Q", opened.read(8))
            header: dict[str, Any] = json.loads(opened.read(min(size, file.stat().st_size)))
        except (struct.error, ValueError) as error:
            raise CheckpointError(
                f"{file} is cut off or no safetensors file; fetch the model again."
            ) from error
    return header


def _check_fits(path: Path, files: list[Path], device: torch.device) -> None:
    needed = memory_needed(files, device) + _SPARE_BYTES
    free = free_bytes(device)
    if needed > free:
        raise InvalidInputError(
            f"the model {path} needs {needed / 2**30:.1f} GiB of memory on {device.type} but only "
            f"{free / 2**30:.1f} GiB are free; take a smaller model or another device."
        )


def _check_complete(path: Path, report: dict[str, Any]) -> None:
    """Refuse weights that are missing: transformers would make them up at random."""
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"the weights in {path} lack {missing[0]!r}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; fetch the model again."
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
