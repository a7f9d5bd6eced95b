"""Read Qwen-Scope checkpoints, and refuse what is none."""

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from scopebook.errors import CheckpointError
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.checkpoint import Checkpoint, check_values, file_sha256, fold
from scopebook_workers.sae.converted import ConvertedSae, write_converted

_ENTRIES = ("W_enc", "b_enc", "W_dec", "b_dec")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_ZIP_MAGIC = b"PK\x03\x04"
# How `torch.save` began its files before 1.6: a pickled constant. Any other pickle is not opened.
_OLD_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_NAMED_IN_PICKLE = re.compile(r"GLOBAL ([\w.]+)")


def read_qwen_scope(
    path: Path, *, k: int, d_sae: int, d_model: int | None = None
) -> SparseAutoencoder:
    """Return the SAE of a `layer{n}.sae.pt`, in float32 and with W_dec transposed.

    `k` and `d_sae` come from the release's name, since the file states neither. Nothing in the
    file is executed.
    """
    return fold(_open_qwen_scope(path, k=k, d_sae=d_sae, d_model=d_model)).autoencoder()


def convert(
    path: Path,
    destination: Path,
    *,
    layer: int,
    k: int,
    d_sae: int,
    d_model: int | None = None,
    licence: str = "unknown",
    sha256: str | None = None,
) -> ConvertedSae:
    """Write the SAE of a `layer{n}.sae.pt` once, as `write_converted` does.

    With `sha256` (the hub states it) a source that differs is refused.
    """
    checkpoint = _open_qwen_scope(path, k=k, d_sae=d_sae, d_model=d_model)
    found = file_sha256(path, expected=sha256)
    return write_converted(
        checkpoint, destination, layer=layer, source_sha256=found, licence=licence
    )


def _open_qwen_scope(path: Path, *, k: int, d_sae: int, d_model: int | None) -> Checkpoint:
    """Return the four tensors as they lie in the file, mapped and checked."""
    _check_is_file(path)
    entries = _four_tensors(path, _load_tensors(path))
    _check_shapes(path, entries, k=k, d_sae=d_sae, d_model=d_model)
    for name in _ENTRIES:
        check_values(path, name, entries[name], dtypes=_DTYPES)
    return Checkpoint(
        path, entries["W_enc"], entries["b_enc"], entries["W_dec"].T, entries["b_dec"], k
    )


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: expected a file such as layer12.sae.pt in it.")
    if not path.exists():
        beside = sorted(file.name for file in path.parent.glob("layer*.sae.pt"))
        held = f"its folder holds {', '.join(beside)}" if beside else "its folder holds no SAE"
        raise CheckpointError(f"{path} does not exist ({held}): choose a layer that is there.")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty: delete it and fetch it again.")


def _load_tensors(path: Path) -> object:
    with path.open("rb") as file:
        head = file.read(len(_OLD_TORCH_MAGIC))
    zipped = head.startswith(_ZIP_MAGIC)
    if not zipped and head != _OLD_TORCH_MAGIC:
        raise CheckpointError(
            f"{path} is not a PyTorch file: expected a layer{{n}}.sae.pt of a Qwen-Scope release."
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        named = _NAMED_IN_PICKLE.search(str(error))
        raise CheckpointError(
            f"{path} holds Python code ({named[1] if named else 'unnamed'}) beside tensors and was "
            "not run: fetch the file from the official release."
        ) from error
    except Exception as error:  # a damaged file makes the unpickler raise anything at all
        raise CheckpointError(
            f"{path} is cut off or damaged ({type(error).__name__}): delete it and fetch it again."
        ) from error


def _four_tensors(path: Path, loaded: object) -> dict[str, Tensor]:
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} holds a {type(loaded).__name__}: expected a dict of {', '.join(_ENTRIES)}."
        )
    tensors = {name: value for name, value in loaded.items() if isinstance(value, Tensor)}
    missing = [name for name in _ENTRIES if name not in tensors]
    if missing:
        raise CheckpointError(
            f"{path} has no tensor {missing[0]}: expected {', '.join(_ENTRIES)} as in Qwen-Scope."
        )
    unknown = [name for name in tensors if name not in _ENTRIES]
    if unknown:
        # Another kind of SAE (a threshold, a scale) would load and then encode wrongly.
        raise CheckpointError(
            f"{path} has the tensor {unknown[0]!r} that a TopK SAE of Qwen-Scope has not: "
            f"expected only {', '.join(_ENTRIES)}."
        )
    return {name: tensors[name].detach() for name in _ENTRIES}


def _check_shapes(
    path: Path, entries: dict[str, Tensor], *, k: int, d_sae: int, d_model: int | None
) -> None:
    w_enc = entries["W_enc"]
    if w_enc.ndim != 2:
        raise CheckpointError(
            f"{path}: W_enc has {w_enc.ndim} dimensions: expected 2, (features, model width)."
        )
    if w_enc.shape[0] != d_sae:
        raise CheckpointError(
            f"{path}: W_enc has {w_enc.shape[0]} features but the release's name says {d_sae}: "
            "give the release its own name."
        )
    width = w_enc.shape[1]
    if d_model is not None and width != d_model:
        raise CheckpointError(
            f"{path}: W_enc reads a model width of {width}, expected {d_model} for this release."
        )
    wanted = {"b_enc": (d_sae,), "W_dec": (width, d_sae), "b_dec": (width,)}
    for name, shape in wanted.items():
        if tuple(entries[name].shape) != shape:
            raise CheckpointError(
                f"{path}: {name} has the shape {tuple(entries[name].shape)}, expected {shape} "
                f"to fit W_enc {tuple(w_enc.shape)}."
            )
    if not 0 < k <= d_sae:
        raise CheckpointError(f"{path}: k is {k}, expected 1 to the {d_sae} features of the SAE.")
