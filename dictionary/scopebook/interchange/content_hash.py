"""A sha256 over the rows of a dump's tables: equal for equal content, however it is cut.

Each column is a stream of its own (of a list: its lengths and its values), so that batches of any
size give the same hash. Columns for readers only do not count.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from scopebook.db.tables import Sae
from scopebook.interchange.columns import DumpTable
from scopebook.interchange.dump_rows import dump_batches
from scopebook.interchange.layout import TABLES, VERSION
from scopebook.interchange.numbering import number_rows


@dataclass(frozen=True, kw_only=True)
class ContentHash:
    """The hash of a dump's content, in all and by table."""

    sha256: str
    tables: dict[str, str]


class TableHash:
    """The hash of one table's rows, which come in batches."""

    def __init__(self, table: DumpTable, version: int = VERSION) -> None:
        self._table = table
        self._columns = table.kept(version)
        self._streams: dict[str, Any] = {}
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the next rows in."""
        self.rows += batch.num_rows
        for name in self._columns:
            self._add(name, batch.column(name))

    def hexdigest(self) -> str:
        """Return the hash of the rows so far."""
        whole = hashlib.sha256(f"{self._table.name} {self.rows}\n".encode())
        for name, stream in sorted(self._streams.items()):
            whole.update(f"{name} {stream.hexdigest()}\n".encode())
        return whole.hexdigest()

    def _add(self, name: str, values: pa.Array) -> None:
        self._feed(f"{name} set", np.asarray(values.is_valid()).astype("u1").tobytes())
        if pa.types.is_list(values.type):
            lengths = pc.fill_null(values.value_lengths(), 0)
            self._feed(f"{name} lengths", np.asarray(lengths, dtype="<i4").tobytes())
            self._add(f"{name}[]", values.flatten())
        elif pa.types.is_struct(values.type):
            for field, child in zip(values.type, values.flatten(), strict=True):
                self._add(f"{name}.{field.name}", child)
        elif pa.types.is_string(values.type) or pa.types.is_binary(values.type):
            texts = pc.fill_null(values.cast(pa.binary()), b"")
            lengths = np.asarray(pc.binary_length(texts), dtype="<i4")
            self._feed(f"{name} lengths", lengths.tobytes())
            self._feed(name, b"".join(texts.to_pylist()))
        else:
            self._feed(name, _numbers(values))

    def _feed(self, stream: str, content: bytes) -> None:
        if stream not in self._streams:
            self._streams[stream] = hashlib.sha256()
        self._streams[stream].update(content)


def _numbers(values: pa.Array) -> bytes:
    """Return numbers in the widest type of their kind, 0 in place of none."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    wide = pa.float64() if pa.types.is_floating(values.type) else pa.int64()
    return np.asarray(pc.fill_null(values.cast(wide), 0)).tobytes()


def whole_hash(tables: dict[str, str]) -> str:
    """Return one hash over those of the tables."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(tables.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def content_hash(session: Session, saes: Sequence[Sae], *, version: int = VERSION) -> ContentHash:
    """Return the hash over everything that a dump of these SAEs in that version would hold."""
    numbers = number_rows(session, saes, version=version)
    tables = {}
    for table in TABLES:
        if not table.kept(version):
            continue
        taken = TableHash(table, version)
        for batch in dump_batches(session, numbers, table.name):
            taken.add(batch)
        tables[table.name] = taken.hexdigest()
    return ContentHash(sha256=whole_hash(tables), tables=tables)
