"""The files of a scan: all features and hits as Parquet, read some rows at a time, and as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from scopebook.artifacts import open_artifact
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.paging import FOREIGN, decode_cursor, encode_cursor

FEATURE_COLUMNS: Final = (
    *("feature", "feature_id", "layer", "index", "part", "label", "flags", "tokens", "documents"),
    *("share", "rate", "other_tokens", "other_contexts", "other_rate", "mean", "max"),
    *("log2", "low", "high", "p", "fdr"),
)
HIT_COLUMNS: Final = (
    *("feature", "feature_id", "part", "document_id", "tokens", "max", "context_id", "peak"),
    "complete",
)
#: `over` and `under`: by the bound of the interval that is nearest to 0.
Sort = Literal["over", "under", "share", "tokens", "max", "log2"]
SORTS: Final = get_args(Sort)
_KEYS: Final = ("part", "flags", "share", "tokens", "max", "log2", "low", "high", "fdr")
_CSV_ROWS: Final = 8_192
#: A spreadsheet runs what begins so as a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def _open(artifact: str) -> Any:
    try:
        return open_artifact(artifact)
    except UnavailableError as error:
        raise UnavailableError(
            "The scan's file cannot be read; bring the artifacts back, or scan again."
        ) from error


def read_features_page(
    artifact: str,
    *,
    part: str = "",
    sort: Sort = "over",
    fdr: float | None = None,
    flagged: bool = False,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return some features of a scan in the given order, those that never fired left out.

    `fdr` leaves out what was not tested or has a larger one; `flagged` takes flagged features too.
    """
    start = 0 if cursor is None else decode_cursor(cursor, [int])[0]
    if start < 0:
        raise InvalidInputError(FOREIGN)
    with _open(artifact) as file:
        parquet = pq.ParquetFile(file)
        keys = parquet.read(list(_KEYS))
        order = _ordered(keys, part=part, sort=sort, fdr=fdr, flagged=flagged)
        rows = order[start : start + limit]
        table = _rows(parquet, rows.tolist())
    following = encode_cursor([start + limit]) if start + limit < len(order) else None
    return table, following


def _ordered(
    keys: pa.Table, *, part: str, sort: Sort, fdr: float | None, flagged: bool
) -> np.ndarray:
    chosen = pc.and_(pc.equal(keys["part"], part), pc.greater(keys["tokens"], 0))
    kept = chosen.to_numpy()
    if sort == "under":  # what is missing altogether too
        kept = pc.equal(keys["part"], part).to_numpy()
    if fdr is not None:
        kept = kept & pc.fill_null(pc.less_equal(keys["fdr"], fdr), False).to_numpy()
    if not flagged:
        kept = kept & ~_is_flagged(keys["flags"])
    low, high = keys["low"].to_numpy(), keys["high"].to_numpy()
    value = {
        "over": np.where(low > 0, low, np.minimum(high, 0)),
        "under": -np.where(high < 0, high, np.maximum(low, 0)),
    }.get(sort)
    if value is None:
        value = keys[sort].to_numpy()
    places = np.flatnonzero(kept)
    return places[np.argsort(-value[places], kind="stable")]


def _is_flagged(flags: pa.ChunkedArray) -> np.ndarray:
    lists = flags.combine_chunks()
    owner = pc.list_parent_indices(lists).to_numpy()
    bad = pc.is_in(lists.flatten(), pa.array(["dense", "position", "register"])).to_numpy(
        zero_copy_only=False
    )
    marks = np.zeros(len(lists), dtype=bool)
    marks[owner[bad]] = True
    return marks


def _rows(parquet: pq.ParquetFile, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Read some rows in the given order, and only the row groups that hold them."""
    sizes = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
    ends = np.cumsum([0, *sizes])
    wanted = np.asarray(rows, dtype=np.int64)
    group = np.searchsorted(ends, wanted, side="right") - 1
    found: dict[int, dict[str, Any]] = {}
    for number in np.unique(group).tolist():
        of_group = wanted[group == number]
        table = parquet.read_row_group(number).take(pa.array(of_group - ends[number]))
        found.update(zip(of_group.tolist(), table.to_pylist(), strict=True))
    return [found[row] for row in wanted.tolist()]


def read_hits_page(
    artifact: str,
    *,
    feature_id: int | None = None,
    document_id: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return hits of a feature, or in a document, the strongest first."""
    start = 0 if cursor is None else decode_cursor(cursor, [int])[0]
    if start < 0:
        raise InvalidInputError(FOREIGN)
    given = {"feature_id": feature_id, "document_id": document_id}
    filters = [(name, "=", value) for name, value in given.items() if value is not None]
    with _open(artifact) as file:
        table = pq.read_table(file, filters=filters or None)
    order = [("max", "descending"), ("document_id", "ascending"), ("feature_id", "ascending")]
    rows = table.sort_by(order).slice(start, limit).to_pylist()
    return rows, encode_cursor([start + limit]) if start + limit < len(table) else None


def csv_of_features(artifact: str) -> Iterator[str]:
    """Yield the file of all features as CSV, some rows at a time."""
    with _open(artifact) as file:
        parquet = pq.ParquetFile(file)
        yield _csv_lines([FEATURE_COLUMNS])
        for batch in parquet.iter_batches(_CSV_ROWS, columns=list(FEATURE_COLUMNS)):
            yield _csv_lines([_csv_row(row) for row in batch.to_pylist()])


def _csv_row(row: dict[str, Any]) -> list[Any]:
    return [_csv_cell(name, row[name]) for name in FEATURE_COLUMNS]


def _csv_cell(name: str, value: Any) -> Any:
    if name == "flags":
        return " ".join(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _csv_lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
