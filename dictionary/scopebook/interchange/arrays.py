"""Between rows as the database keeps them and columns of Arrow."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scopebook.interchange.columns import DumpTable
from scopebook.packing import unpack_pairs

#: Rows of one batch; those of examples and texts are fewer.
ROWS: Final = 4_096


def batches_of(
    table: DumpTable, rows: Iterable[Sequence[Any]], *, size: int = ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield rows, whose values stand in the order of the table's columns, as batches."""
    source = iter(rows)
    while chunk := list(islice(source, size)):
        columns = [
            pa.array(values, type=column.type)
            for values, column in zip(zip(*chunk, strict=True), table.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=table.schema)


def as_json(value: Any) -> str:
    """Return a JSON column's value as text that does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def pairs_out(packed: bytes, first: str, second: str) -> list[Mapping[str, Any]]:
    """Return packed pairs as a list of structs."""
    return [{first: number, second: value} for number, value in unpack_pairs(packed)]


def lists_of(values: Any, sizes: Sequence[int] | NDArray[np.int64]) -> pa.ListArray:
    """Return one long array cut into lists of these sizes."""
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
