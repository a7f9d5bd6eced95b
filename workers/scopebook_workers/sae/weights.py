"""Read Qwen-Scope checkpoints, refuse what is none, and keep them as safetensors."""

import fcntl
import hashlib
import json
import os
import pickle
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scopebook.errors import CheckpointError, ConflictError, UnavailableError

CONVERTED_FORMAT = "scopebook-topk-sae-1"
_ENTRIES = ("W_enc", "b_enc", "W_dec", "b_dec")
_CONVERTED_TENSORS = {"w_enc", "b_enc", "w_dec", "b_dec"}
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_ZIP_MAGIC = b"PK\x03\x04"
# How `torch.save` began its files before 1.6: a pickled constant. Any other pickle is not opened.
_OLD_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_NAMED_IN_PICKLE = re.compile(r"GLOBAL ([\w.]+)")
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class TopKSae:
    """One layer's SAE; row f of `w_dec` is the direction that feature f writes."""

    w_enc: Float[Tensor, "d_sae d_model"]
    b_enc: Float[Tensor, " d_sae"]
    w_dec: Float[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    k: int

    @property
    def d_sae(self) -> int:
        """How many features the SAE has."""
        return self.w_enc.shape[0]

    @property
    def d_model(self) -> int:
        """How wide the residual stream is that the SAE reads."""
        return self.w_enc.shape[1]


@dataclass(frozen=True)
class ConvertedSae:
    """What is on disk after `convert`: the file, its shape and where it came from."""

    path: Path
    layer: int
    k: int
    d_sae: int
    d_model: int
    source_sha256: str
    licence: str
    size_bytes: int


def read_qwen_scope(path: Path, *, k: int, d_sae: int, d_model: int | None = None) -> TopKSae:
    """Return the SAE of a `layer{n}.sae.pt`, in float32 and with W_dec transposed.

    `k` and `d_sae` come from the release's name, since the file states neither. Nothing in the
    file is executed.
    """
    entries = _open_qwen_scope(path, k=k, d_sae=d_sae, d_model=d_model)
    return TopKSae(
        w_enc=entries["W_enc"].float().contiguous(),
        b_enc=entries["b_enc"].float().contiguous(),
        w_dec=entries["W_dec"].float().T.contiguous(),
        b_dec=entries["b_dec"].float().contiguous(),
        k=k,
    )


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
    """Write the SAE once as float32 safetensors with W_dec transposed.

    The destination appears whole or not at all; one that already holds this source is left
    alone. With `sha256` (the hub states it) a source that differs is refused. Memory beyond the
    mapped source stays below 100 MB.
    """
    entries = _open_qwen_scope(path, k=k, d_sae=d_sae, d_model=d_model)
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise CheckpointError(
            f"{path} was damaged on its way: its SHA-256 is {found}, expected {sha256}; "
            "delete the file and fetch it again."
        )
    metadata = {
        "format": CONVERTED_FORMAT,
        "k": str(k),
        "layer": str(layer),
        "source_sha256": found,
        "licence": licence,
    }
    if not _already_holds(destination, metadata):
        with _whole_or_nothing(destination) as file:
            _write_safetensors(file, entries, metadata)
    return converted_sae(destination)


def converted_sae(path: Path) -> ConvertedSae:
    """Return what a converted file says about itself, without reading its tensors."""
    with _opened_safetensors(path, "cpu") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != CONVERTED_FORMAT or set(file.keys()) != _CONVERTED_TENSORS:
            raise CheckpointError(_not_converted(path))
        shape = file.get_slice("w_enc").get_shape()
    return ConvertedSae(
        path=path,
        layer=int(metadata["layer"]),
        k=int(metadata["k"]),
        d_sae=shape[0],
        d_model=shape[1],
        source_sha256=metadata["source_sha256"],
        licence=metadata["licence"],
        size_bytes=path.stat().st_size,
    )


def read_converted(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> TopKSae:
    """Return the SAE of a converted file; in float32 on the CPU its pages are shared."""
    facts = converted_sae(path)
    with _opened_safetensors(path, str(device)) as file:
        tensors = {name: file.get_tensor(name).to(dtype) for name in _CONVERTED_TENSORS}
    return TopKSae(**tensors, k=facts.k)


def check_against_model(sae: TopKSae, *, d_model: int, n_layers: int, layer: int) -> None:
    """Refuse an SAE that does not fit the model's width or depth."""
    if sae.d_model != d_model:
        raise CheckpointError(
            f"the SAE of layer {layer} reads a residual stream of width {sae.d_model} but the "
            f"model's is {d_model}: give the model that the release was trained on."
        )
    if not 0 <= layer < n_layers:
        raise CheckpointError(
            f"the SAE is for layer {layer} but the model has layers 0 to {n_layers - 1}: "
            "give the model that the release was trained on."
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of any size, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_qwen_scope(
    path: Path, *, k: int, d_sae: int, d_model: int | None
) -> dict[str, Float[Tensor, "..."]]:
    """Return the four tensors as they lie in the file, mapped and checked."""
    _check_is_file(path)
    entries = _four_tensors(path, _load_tensors(path))
    _check_shapes(path, entries, k=k, d_sae=d_sae, d_model=d_model)
    for name in _ENTRIES:
        _check_values(path, name, entries[name])
    return entries


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


def _check_values(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.dtype not in _DTYPES or tensor.layout != torch.strided:
        raise CheckpointError(
            f"{path}: {name} is stored as {tensor.dtype} {tensor.layout}, expected dense float32, "
            "bfloat16 or float16."
        )
    if not all(bool(block.isfinite().all()) for block in _row_blocks(tensor)):
        raise CheckpointError(
            f"{path}: {name} holds NaN or infinity: the file is damaged, fetch it again."
        )


def _row_blocks(tensor: Tensor) -> Iterator[Tensor]:
    """Cut along the first axis so that a float32 copy of a block stays small."""
    rows = max(1, _BLOCK_BYTES // max(1, 4 * tensor[0].numel()))
    for start in range(0, tensor.shape[0], rows):
        yield tensor[start : start + rows]


def _write_safetensors(
    file: BinaryIO, entries: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write the format's header and data block by block: W_dec is never copied as a whole."""
    parts = {
        "w_enc": entries["W_enc"],
        "b_enc": entries["b_enc"],
        "w_dec": entries["W_dec"].T,
        "b_dec": entries["b_dec"],
    }
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in parts.items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for tensor in parts.values():
        for block in _row_blocks(tensor):
            file.write(block.float().contiguous().numpy().data)


@contextmanager
def _whole_or_nothing(destination: Path) -> Iterator[BinaryIO]:
    """Write beside the destination and rename at the end.

    The name beside it is fixed and locked: what a killed process left there is overwritten by the
    next one, and two at once do not mix.
    """
    partial = destination.with_name(f"{destination.name}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as file:
            _lock(file, partial, destination)
            try:
                file.truncate(0)
                yield file
                file.flush()
                os.fsync(file.fileno())
                partial.replace(destination)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        _sync_folder(destination.parent)
    except OSError as error:
        raise UnavailableError(
            f"{destination} could not be written ({error.strerror}): free space or give another "
            "data folder."
        ) from error


def _lock(file: BinaryIO, partial: Path, destination: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock may have renamed this very file to the destination.
        mine = os.fstat(file.fileno()).st_ino == partial.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise ConflictError(f"{destination} is being written by another process: wait for it.")


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _already_holds(destination: Path, metadata: dict[str, str]) -> bool:
    if not destination.exists():
        return False
    try:
        with _opened_safetensors(destination, "cpu") as file:
            return bool((file.metadata() or {}) == metadata)
    except CheckpointError:
        return False


@contextmanager
def _opened_safetensors(path: Path, device: str) -> Iterator[Any]:  # its stubs name no types
    try:
        with safe_open(path, framework="pt", device=device) as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise CheckpointError(_not_converted(path)) from error


def _not_converted(path: Path) -> str:
    return f"{path} is not a converted SAE of Scopebook: add the release again to write it anew."
