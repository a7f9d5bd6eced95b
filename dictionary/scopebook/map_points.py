"""The points of a map as bytes: seven columns of little-endian numbers, one after the other.

Sixteen bytes a point, so that a browser can lay its arrays over what it receives: 786,432 points
are 12.6 MB, where as many rows of a table would take 60 MB and be read as text.
"""

from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

#: Sources of labels by their number in a map's points.
SOURCES: Final = ("keywords", "llm", "person", "import")
#: Flags of features by their bit.
FLAGS: Final = ("dead", "dense", "token", "position", "register")

#: The columns in order: name and type.
COLUMNS: Final = (
    ("x", "<f4"),
    ("y", "<f4"),
    ("index", "<u4"),
    ("layer", "u1"),
    ("source", "u1"),
    ("flags", "u1"),
    ("region", "u1"),
)
BYTES: Final = sum(np.dtype(kind).itemsize for _, kind in COLUMNS)


@dataclass(frozen=True, eq=False)
class MapPoints:
    """Features on a map, all arrays of one length (n,)."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    #: The feature's index in its SAE.
    index: NDArray[np.uint32]
    #: The layer's position in the map's layers.
    layer: NDArray[np.uint8]
    #: Positions in `SOURCES`.
    source: NDArray[np.uint8]
    #: Bits of `FLAGS`.
    flags: NDArray[np.uint8]
    #: Positions in the map's regions.
    region: NDArray[np.uint8]

    def write(self, file: BinaryIO) -> None:
        """Write the columns."""
        for name, kind in COLUMNS:
            file.write(np.ascontiguousarray(getattr(self, name), dtype=kind).tobytes())


def unpack_points(packed: bytes) -> MapPoints:
    """Return what `MapPoints.write` has written."""
    n = len(packed) // BYTES
    columns: dict[str, NDArray[np.generic]] = {}
    at = 0
    for name, kind in COLUMNS:
        columns[name] = np.frombuffer(packed, dtype=kind, count=n, offset=at)
        at += columns[name].nbytes
    return MapPoints(**columns)  # type: ignore[arg-type]


def flag_bits(flags: list[str] | None) -> int:
    """Return a feature's flags as bits."""
    return sum(1 << place for place, flag in enumerate(FLAGS) if flag in (flags or ()))
