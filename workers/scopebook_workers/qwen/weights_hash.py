"""Tell a model's weights from others of the same shape, without reading all of them."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

from scopebook.errors import CheckpointError
from scopebook_workers.qwen.model import weight_files

#: Read at both ends of each file, where embeddings and the last layers lie.
_ENDS_BYTES = 2**20
#: Read in the middle of each tensor, so that no layer can differ unseen.
_TENSOR_BYTES = 4096


def weights_sha256(path: Path) -> str:
    """Return a hash over a model's safetensors: names, types and shapes of all tensors, and bytes.

    Of the bytes a sample is read, which takes less than a second for any size: a megabyte at both
    ends of each file and a page of each tensor. Files count in the order of their names; their
    names and what they say of themselves do not.
    """
    digest = hashlib.sha256()
    for file in weight_files(path):
        with file.open("rb") as opened:
            _add_file(digest, file, opened)
    return digest.hexdigest()


def _add_file(digest: Any, file: Path, opened: BinaryIO) -> None:
    size_bytes = file.stat().st_size
    try:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(min(length, size_bytes)))
        header.pop("__metadata__", None)
        spans = [entry["data_offsets"] for _, entry in sorted(header.items())]
        samples = [(int(start), int(end)) for start, end in spans]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} is cut off or no safetensors file; fetch the model again."
        ) from error
    digest.update(json.dumps(header, sort_keys=True).encode())
    first = 8 + length
    for start, end in samples:
        middle = start + max(0, (end - start - _TENSOR_BYTES) // 2)
        opened.seek(first + middle)
        digest.update(opened.read(min(_TENSOR_BYTES, end - start)))
    for at in (first, max(first, size_bytes - _ENDS_BYTES)):
        opened.seek(at)
        digest.update(opened.read(_ENDS_BYTES))
