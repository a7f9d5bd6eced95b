"""Keep an SAE as safetensors, written once, and read it back."""

import fcntl
import json
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scopebook.artifacts import remedy_of
from scopebook.errors import CheckpointError, ConflictError, UnavailableError
from scopebook.saelens import SaeKind
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.checkpoint import Checkpoint, Folded, fold

CONVERTED_FORMAT = "scopebook-sae-2"
#: Of the time when every SAE kept its k strongest features.
_TOPK_FORMAT = "scopebook-topk-sae-1"
_TENSORS = {"w_enc", "b_enc", "w_dec", "b_dec"}


@dataclass(frozen=True)
class ConvertedSae:
    """What is on disk after a conversion: the file, its shape and where it came from."""

    path: Path
    layer: int
    k: int | None
    d_sae: int
    d_model: int
    source_sha256: str
    licence: str
    size_bytes: int
    kind: SaeKind = "topk"


def write_converted(
    checkpoint: Checkpoint, destination: Path, *, layer: int, source_sha256: str, licence: str
) -> ConvertedSae:
    """Write the SAE once, folded and in float32, features first.

    The destination appears whole or not at all; one that already holds this source is left
    alone. Memory beyond the mapped source stays below 100 MB, or 300 MB where
    scales are folded in.
    """
    metadata = {
        "format": CONVERTED_FORMAT,
        "kind": checkpoint.kind,
        "layer": str(layer),
        "source_sha256": source_sha256,
        "licence": licence,
    }
    if checkpoint.k is not None:
        metadata["k"] = str(checkpoint.k)
    if not _already_holds(destination, metadata):
        folded = fold(checkpoint)
        with _whole_or_nothing(destination) as file:
            _write_safetensors(file, folded, metadata)
    return converted_sae(destination)


def converted_sae(path: Path) -> ConvertedSae:
    """Return what a converted file says about itself, without reading its tensors."""
    with _opened_safetensors(path, "cpu") as file:
        metadata = file.metadata() or {}
        kind = _kind(metadata)
        if kind is None or set(file.keys()) != _tensors_of(kind):
            raise CheckpointError(_not_converted(path))
        shape = file.get_slice("w_enc").get_shape()
    try:
        return ConvertedSae(
            path=path,
            layer=int(metadata["layer"]),
            k=int(metadata["k"]) if kind == "topk" else None,
            d_sae=shape[0],
            d_model=shape[1],
            source_sha256=metadata["source_sha256"],
            licence=metadata["licence"],
            size_bytes=path.stat().st_size,
            kind=kind,
        )
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(_not_converted(path)) from error


def read_converted(
    path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> SparseAutoencoder:
    """Return the SAE of a converted file; in float32 on the CPU its pages are shared."""
    facts = converted_sae(path)
    with _opened_safetensors(path, str(device)) as file:
        tensors = {name: file.get_tensor(name).to(dtype) for name in _tensors_of(facts.kind)}
    return SparseAutoencoder(**tensors, k=facts.k)


def _kind(metadata: dict[str, str]) -> SaeKind | None:
    """Return the rule that a file's SAE follows; None where the file is none of ours."""
    if metadata.get("format") == _TOPK_FORMAT:
        return "topk"
    kinds: dict[str, SaeKind] = {"topk": "topk", "threshold": "threshold", "relu": "relu"}
    current = metadata.get("format") == CONVERTED_FORMAT
    return kinds.get(metadata.get("kind", "")) if current else None


def _tensors_of(kind: SaeKind) -> set[str]:
    return _TENSORS | {"thresholds"} if kind == "threshold" else _TENSORS


def _write_safetensors(file: BinaryIO, folded: Folded, metadata: dict[str, str]) -> None:
    """Write the format's header and data block by block: no matrix is copied as a whole."""
    held = folded.checkpoint
    parts: dict[str, tuple[Tensor, Iterable[Tensor]]] = {
        "w_enc": (held.w_enc, folded.w_enc()),
        "b_enc": (held.b_enc, [folded.b_enc]),
        "w_dec": (held.w_dec, folded.w_dec()),
        "b_dec": (held.b_dec, [folded.b_dec]),
    }
    if held.thresholds is not None:
        parts["thresholds"] = (held.thresholds, [held.thresholds.float()])
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, (tensor, _) in parts.items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for _, blocks in parts.values():
        for block in blocks:
            file.write(block.contiguous().numpy().data)


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
            f"{destination} could not be written ({error.strerror or error}): "
            f"{remedy_of(error)}, or give another data folder."
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
