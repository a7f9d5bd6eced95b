"""What a model's features do in some texts, token by token, and the bytes that are kept of it."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from scopebook.errors import InvalidInputError

_VERSION: Final = b"\x01"
#: The fastest: the numbers are read again in a moment, and are gone within the hour.
_LEVEL: Final = -1


@dataclass(frozen=True, eq=False)
class LayerActivations:
    """What fires after one layer: m activations above 0, in the order of the tokens."""

    token: NDArray[np.int32]  # (m,) its number among the tokens of all texts
    feature: NDArray[np.int32]  # (m,) its index within the SAE
    value: NDArray[np.float32]  # (m,)
    #: Tokens whose residual is much longer than is usual in their text.
    sinks: NDArray[np.bool_]  # (n,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Activations:
    """Some texts with n tokens in all, one text after the other, and what fires in them.

    The first token of a text and activation sinks are in it as they are. Both lie far from what
    SAEs are trained on, so a collection leaves them out: see `usable`.
    """

    texts: Sequence[str]
    #: The first token of each text, and n.
    starts: NDArray[np.int64]  # (texts + 1,)
    #: How many tokens at the end of each text the model has written.
    written: Sequence[int]
    token_ids: NDArray[np.int32]  # (n,)
    #: First and last (exclusive) character of each token in its text.
    spans: NDArray[np.int32]  # (n, 2)
    #: Tokens that stand for no text, such as the marks of a chat's turns.
    special: NDArray[np.bool_]  # (n,)
    layers: Mapping[int, LayerActivations]

    def tokens_of(self, text: int) -> slice:
        """Return the tokens of one text."""
        return slice(int(self.starts[text]), int(self.starts[text + 1]))

    @property
    def text_of(self) -> NDArray[np.int64]:
        """Return the text of each token, (n,)."""
        return np.repeat(np.arange(len(self.texts)), np.diff(self.starts))

    @property
    def position(self) -> NDArray[np.int64]:
        """Return the place of each token in its text, (n,)."""
        return np.arange(len(self.token_ids)) - self.starts[:-1][self.text_of]

    def usable(self, layer: int) -> NDArray[np.bool_]:
        """Return the tokens that a collection would count, (n,)."""
        counted: NDArray[np.bool_] = (self.position > 0) & ~self.layers[layer].sinks
        return counted


def pack_activations(found: Activations) -> bytes:
    """Pack it: a header of JSON, then the arrays, compressed."""
    arrays = {
        "starts": found.starts.astype("<i8"),
        "token_ids": found.token_ids.astype("<i4"),
        "spans": found.spans.astype("<i4"),
        "special": found.special,
    }
    for number, layer in found.layers.items():
        arrays[f"{number}.token"] = layer.token.astype("<i4")
        arrays[f"{number}.feature"] = layer.feature.astype("<i4")
        arrays[f"{number}.value"] = layer.value.astype("<f4")
        arrays[f"{number}.sinks"] = layer.sinks
    header = {
        "texts": list(found.texts),
        "written": list(found.written),
        "layers": list(found.layers),
        "arrays": [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()],
    }
    head = json.dumps(header).encode()
    raw = b"".join(
        [len(head).to_bytes(8, "little"), head, *(array.tobytes() for array in arrays.values())]
    )
    return _VERSION + zstandard.ZstdCompressor(level=_LEVEL).compress(raw)


def unpack_activations(packed: bytes) -> Activations:
    """Return what `pack_activations` packed."""
    if packed[:1] != _VERSION:
        raise InvalidInputError(
            f"These activations have version {packed[:1].hex() or 'none'}, but this Scopebook "
            "reads version 01; upgrade Scopebook."
        )
    read = io.BytesIO(zstandard.ZstdDecompressor().decompress(packed[1:]))
    header = json.loads(read.read(int.from_bytes(read.read(8), "little")))
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(read.read(size), dtype=dtype).reshape(shape)
    return Activations(
        texts=header["texts"],
        starts=arrays["starts"],
        written=header["written"],
        token_ids=arrays["token_ids"],
        spans=arrays["spans"],
        special=arrays["special"],
        layers={
            number: LayerActivations(
                *(arrays[f"{number}.{name}"] for name in ("token", "feature", "value", "sinks"))
            )
            for number in header["layers"]
        },
    )
