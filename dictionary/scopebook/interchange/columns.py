"""What tables of a dump are made of: columns with a type and a sentence."""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa


@dataclass(frozen=True)
class DumpColumn:
    """A column; `derived` ones are for readers only: neither hashed nor imported."""

    name: str
    type: Any
    about: str
    derived: bool = False


@dataclass(frozen=True)
class DumpTable:
    """A table of a dump: a folder of Parquet files with the same columns."""

    name: str
    about: str
    columns: tuple[DumpColumn, ...]

    @property
    def schema(self) -> Any:
        """All columns, in order."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    @property
    def kept(self) -> list[str]:
        """The names of the columns that hold the content."""
        return [column.name for column in self.columns if not column.derived]


TEXT: Final = pa.string()
I16: Final = pa.int16()
I32: Final = pa.int32()
I64: Final = pa.int64()
F32: Final = pa.float32()
F64: Final = pa.float64()
BOOL: Final = pa.bool_()
WHEN: Final = pa.timestamp("us", tz="UTC")


def list_of(item: Any) -> Any:
    """Return the type of a list."""
    return pa.list_(item)


def pairs_of(first: str, second: str) -> Any:
    """Return the type of a list of numbered values: `[{first: int, second: float}, ...]`."""
    return list_of(pa.struct([(first, I32), (second, F32)]))


def column(name: str, kind: Any, about: str) -> DumpColumn:
    """Return a column that holds content."""
    return DumpColumn(name, kind, about)


def derived(name: str, kind: Any, about: str) -> DumpColumn:
    """Return a column for readers only."""
    return DumpColumn(name, kind, about, derived=True)


FEATURE: Final = (
    derived("feature", TEXT, "the feature's id, `model/layer-set/index`"),
    column("release", TEXT, "name of the release"),
    column("layer", I16, "layer of the SAE"),
    column("index", I32, "number of the feature in its SAE"),
)
CREATED: Final = column("created_at", WHEN, "when the row was made, where it was first made")
