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
    #: The first version of the format that has it.
    since: int = 1


@dataclass(frozen=True)
class DumpTable:
    """A table of a dump: a folder of Parquet files with the same columns."""

    name: str
    about: str
    columns: tuple[DumpColumn, ...]
    #: The first version of the format in which it holds content.
    since: int = 1

    @property
    def schema(self) -> Any:
        """All columns, in order."""
        return pa.schema([(column.name, column.type) for column in self.columns])

    def kept(self, version: int) -> list[str]:
        """Return the names of the columns that hold the content of a dump of this version."""
        if version < self.since:
            return []
        return [
            column.name for column in self.columns if not column.derived and column.since <= version
        ]


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


def column(name: str, kind: Any, about: str, *, since: int = 1) -> DumpColumn:
    """Return a column that holds content."""
    return DumpColumn(name, kind, about, since=since)


def derived(name: str, kind: Any, about: str) -> DumpColumn:
    """Return a column for readers only."""
    return DumpColumn(name, kind, about, derived=True)


FEATURE: Final = (
    derived("feature", TEXT, "the feature's id, `model/layer-set/index`"),
    column("release", TEXT, "name of the release"),
    column("layer", I16, "layer of the SAE"),
    column("index", I32, "number of the feature in its SAE"),
)
RUN: Final = column("run", I32, "number of the run")
#: What names the way in which a corpus was cut into contexts.
CUT: Final = (
    column("corpus", TEXT, "name of the corpus"),
    column("tokenizer", TEXT, "SHA-256 of the vocabulary"),
    column("context_tokens", I32, "the longest context"),
)
CREATED: Final = column("created_at", WHEN, "when the row was made, where it was first made")
