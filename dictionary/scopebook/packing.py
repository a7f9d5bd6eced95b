"""Numbers as compact bytes: vocabularies' pairs, token ids, histograms and examples.

Every value begins with a version byte, so that a later layout can be told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from scopebook.errors import InvalidInputError

_VERSION: Final = b"\x01"
_LEVEL: Final = 3

#: Log-spaced edges, half an octave apart, in units of activation. They are the same for every
#: feature, so that histograms of two shards add. The first bin begins at 0, the last has no end.
HISTOGRAM_EDGES: Final[NDArray[np.float64]] = np.concatenate(
    [[0.0], 2.0 ** (np.arange(-16, 33) / 2), [np.inf]]
)
BINS: Final = len(HISTOGRAM_EDGES) - 1

BEST: Final = 0
SAMPLE: Final = 1


def _deflate(raw: bytes) -> bytes:
    return _VERSION + zstandard.ZstdCompressor(level=_LEVEL).compress(raw)


def _inflate(packed: bytes) -> bytes:
    if packed[:1] != _VERSION:
        raise InvalidInputError(
            f"A packed value has version {packed[:1].hex() or 'none'}, but this Scopebook reads "
            "version 01; upgrade Scopebook."
        )
    return zstandard.ZstdDecompressor().decompress(packed[1:])


def pack_pairs(ids: Sequence[int], values: Sequence[float]) -> bytes:
    """Pack ids (int32) with a number each (float32), in the given order."""
    return (
        _VERSION
        + np.asarray(ids, dtype="<i4").tobytes()
        + np.asarray(values, dtype="<f4").tobytes()
    )


def unpack_pairs(packed: bytes) -> list[tuple[int, float]]:
    """Return what `pack_pairs` packed; the ids are ints, the numbers floats."""
    half = (len(packed) - 1) // 2
    ids = np.frombuffer(packed, dtype="<i4", count=half // 4, offset=1)
    values = np.frombuffer(packed, dtype="<f4", count=half // 4, offset=1 + half)
    return list(zip(ids.tolist(), values.tolist(), strict=True))


def pack_ints(values: NDArray[np.int32]) -> bytes:
    """Pack int32 numbers of any shape, compressed; the shape is not kept."""
    return _deflate(np.ascontiguousarray(values, dtype="<i4").tobytes())


def unpack_ints(packed: bytes) -> NDArray[np.int32]:
    """Return the numbers in one dimension."""
    return np.frombuffer(_inflate(packed), dtype="<i4")


def pack_counts(counts: NDArray[np.int64]) -> bytes:
    """Pack a histogram's counts, compressed."""
    return _deflate(np.ascontiguousarray(counts, dtype="<i8").tobytes())


def unpack_counts(packed: bytes) -> NDArray[np.int64]:
    """Return a histogram's counts."""
    return np.frombuffer(_inflate(packed), dtype="<i8")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExampleSet:
    """The examples of one feature, column by column; n examples with m active tokens in all.

    An example's window holds the tokens `start` to `end` (exclusive) of its context. Its active
    tokens are `positions[offsets[i]:offsets[i + 1]]`, counted from the context's first token, with
    `shares` of the example's `activation` (its largest, at `peak`).
    """

    context_id: NDArray[np.int64]  # (n,)
    kind: NDArray[np.uint8]  # (n,) BEST or SAMPLE
    activation: NDArray[np.float32]  # (n,)
    quantile: NDArray[np.float32]  # (n,) share of the firing contexts with a smaller peak
    peak: NDArray[np.int32]  # (n,)
    start: NDArray[np.int32]  # (n,)
    end: NDArray[np.int32]  # (n,)
    offsets: NDArray[np.int32]  # (n + 1,)
    positions: NDArray[np.int32]  # (m,)
    shares: NDArray[np.float16]  # (m,) activation divided by the example's largest

    def __len__(self) -> int:
        return len(self.context_id)

    def activations(self, example: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the active positions of one example and their activations."""
        part = slice(self.offsets[example], self.offsets[example + 1])
        return self.positions[part], self.shares[part].astype(np.float32) * self.activation[example]


def silent_examples(rows: Sequence[tuple[int, int, int]]) -> ExampleSet:
    """Return contexts in which nothing fires: of each its id, a token to show, and its length."""
    context_ids, centers, lengths = zip(*rows, strict=True) if rows else ((), (), ())
    n = len(rows)
    return ExampleSet(
        context_id=np.asarray(context_ids, dtype=np.int64),
        kind=np.full(n, SAMPLE, dtype=np.uint8),
        activation=np.zeros(n, dtype=np.float32),
        quantile=np.zeros(n, dtype=np.float32),
        peak=np.asarray(centers, dtype=np.int32),
        start=np.zeros(n, dtype=np.int32),
        end=np.asarray(lengths, dtype=np.int32),
        offsets=np.zeros(n + 1, dtype=np.int32),
        positions=np.empty(0, dtype=np.int32),
        shares=np.empty(0, dtype=np.float16),
    )


_DTYPES: Final = {
    "context_id": "<i8",
    "kind": "u1",
    "activation": "<f4",
    "quantile": "<f4",
    "peak": "<i4",
    "start": "<i4",
    "end": "<i4",
    "offsets": "<i4",
    "positions": "<i4",
    "shares": "<f2",
}


def pack_examples(examples: ExampleSet) -> bytes:
    """Pack a feature's examples: two counts, then column after column, compressed."""
    sizes = np.asarray([len(examples), len(examples.positions)], dtype="<i4").tobytes()
    columns = (
        np.ascontiguousarray(getattr(examples, field.name), dtype=_DTYPES[field.name]).tobytes()
        for field in fields(examples)
    )
    return _deflate(sizes + b"".join(columns))


def unpack_examples(packed: bytes) -> ExampleSet:
    """Return what `pack_examples` packed."""
    raw = _inflate(packed)
    n, m = np.frombuffer(raw, dtype="<i4", count=2).tolist()
    counts = {"offsets": n + 1, "positions": m, "shares": m}
    columns = {}
    start = 8
    for name, dtype in _DTYPES.items():
        count = counts.get(name, n)
        columns[name] = np.frombuffer(raw, dtype=dtype, count=count, offset=start)
        start += count * np.dtype(dtype).itemsize
    return ExampleSet(**columns)
