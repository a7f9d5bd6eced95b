"""Read texts from Parquet files, some rows at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from scopebook.errors import UnavailableError
from scopebook.texts import FIELDS, Problem, Text, column_of, no_field, text_of

#: Rows that are read at once.
_ROWS: Final = 256


def read_parquet(
    path: Path, text_field: str, within: str = "", *, name: str
) -> Iterator[Text | Problem]:
    """Read one text a row; a damaged row group is left out, and reading goes on behind it."""
    try:
        # Pages are read one after the other instead of a row group's column in one piece.
        file = pq.ParquetFile(
            path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
        )
    except OSError as error:
        if error.errno is not None:
            raise UnavailableError(
                f"{path} cannot be read ({error.strerror}); make it readable."
            ) from error
        yield Problem(name, f"not a whole Parquet file ({_reason(error)})")
        return
    except (pa.ArrowException, ValueError) as error:
        yield Problem(name, f"not a whole Parquet file ({_reason(error)})")
        return
    with file:
        schema = file.schema_arrow
        held_by = column_of(text_field, schema.names)
        if held_by not in schema.names:
            yield Problem(name, no_field(text_field, schema.names))
        elif not _is_text(schema.field(held_by).type):
            kind = schema.field(held_by).type
            yield Problem(name, f"the column {held_by!r} holds {kind} instead of text")
        else:
            columns = [column for column in (held_by, *FIELDS) if column in schema.names]
            yield from _read_groups(file, text_field, within, list(dict.fromkeys(columns)))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):  # of messages
        item = kind.value_type
        return bool(pa.types.is_struct(item) and item.get_field_index("content") >= 0)
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _read_groups(
    file: pq.ParquetFile, text_field: str, within: str, columns: list[str]
) -> Iterator[Text | Problem]:
    first = 1
    for group in range(file.num_row_groups):
        row = first
        try:
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=columns):
                for record in _records(batch):
                    yield _text(record, text_field, f"{within}row {row}")
                    row += 1
        except (pa.ArrowException, OSError) as error:
            last = first + file.metadata.row_group(group).num_rows - 1
            yield Problem(f"{within}rows {row} to {last}", f"damaged ({_reason(error)})")
        first += file.metadata.row_group(group).num_rows


def _records(batch: pa.RecordBatch) -> Iterator[Mapping[str, Any] | ValueError]:
    """Yield the rows; in place of one that is not UTF-8, the reason."""
    try:
        yield from batch.to_pylist()
        return
    except ValueError:
        pass
    for place in range(batch.num_rows):
        try:
            yield batch.slice(place, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield ValueError(f"not UTF-8 (byte {error.object[error.start]:#04x})")
        except ValueError as error:
            yield error


def _text(record: Mapping[str, Any] | ValueError, text_field: str, where: str) -> Text | Problem:
    if isinstance(record, ValueError):
        return Problem(where, str(record))
    try:
        return text_of(record, text_field, where)
    except ValueError as error:
        return Problem(where, str(error))


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")[:200] if str(error).strip() else "no more"
