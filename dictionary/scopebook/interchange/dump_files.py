"""Read a Parquet dump: nothing is taken from it before all of it was looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.interchange.columns import DumpTable
from scopebook.interchange.import_progress import DumpRow, Place
from scopebook.interchange.layout import BY_NAME, TABLES, VERSION
from scopebook.interchange.manifest import Manifest, ManifestFile, file_sha256, read_manifest

#: What is read at once may take so many bytes unpacked; our own dumps stay far below.
LARGEST_GROUP: Final = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Dump:
    """A dump whose files are all there, whole and of the right form."""

    folder: Path
    manifest: Manifest
    sha256: str
    #: Tables and columns that this Scopebook does not know.
    unknown: list[str]

    def rows(self, table: str, *, skip: int = 0, size: int) -> Iterator[list[DumpRow]]:
        """Yield a table's rows behind the first `skip`, some at a time."""
        for file in self.manifest.files_of(table):
            if skip >= file.rows:
                skip -= file.rows
                continue
            yield from self._rows_of_file(file, BY_NAME[table], skip, size)
            skip = 0

    def _rows_of_file(
        self, file: ManifestFile, table: DumpTable, skip: int, size: int
    ) -> Iterator[list[DumpRow]]:
        path, columns = self.folder / file.name, table.kept(self.manifest.version)
        newer = dict.fromkeys(name for name in table.kept(VERSION) if name not in columns)
        with _opened(path) as opened:
            row = 0
            for group in range(opened.num_row_groups):
                in_group = opened.metadata.row_group(group).num_rows
                if row + in_group <= skip:
                    row += in_group
                    continue
                batches = opened.iter_batches(size, row_groups=[group], columns=columns)
                for values in _read(batches, path):
                    first = max(0, skip - row)
                    fresh = [
                        DumpRow(Place(file.name, row + at + 1), one | newer)
                        for at, one in enumerate(values[first:], first)
                    ]
                    row += len(values)
                    if fresh:
                        yield fresh

    def all_rows(self, table: str) -> list[DumpRow]:
        """Return the rows of a small table."""
        return [row for rows in self.rows(table, size=4_096) for row in rows]


def open_dump(folder: Path) -> Dump:
    """Return a dump after every file was held against the manifest and the layout.

    Raises:
        InvalidInputError: A file is missing, changed, no Parquet or not of the layout.
    """
    manifest, sha256 = read_manifest(folder)
    for table in TABLES:
        if table.kept(manifest.version) and not manifest.files_of(table.name):
            raise InvalidInputError(
                f"{folder / 'manifest.json'} names no file of the table {table.name}; export the "
                "dictionary anew."
            )
    unknown = sorted({file.table for file in manifest.files} - BY_NAME.keys())
    for file in manifest.files:
        _check_whole(folder, file)
        if file.table in BY_NAME and BY_NAME[file.table].kept(manifest.version):
            unknown += _check_form(folder, file, BY_NAME[file.table], manifest.version)
    return Dump(
        folder=folder, manifest=manifest, sha256=sha256, unknown=list(dict.fromkeys(unknown))
    )


def _check_whole(folder: Path, file: ManifestFile) -> None:
    path = folder / file.name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError(
            f"{path} is a link that leads out of the dump's folder, so nothing of it is read."
        )
    if not path.is_file():
        raise InvalidInputError(f"{path} is missing, which the manifest names; copy the dump anew.")
    try:
        size, digest = path.stat().st_size, file_sha256(path)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read ({error.strerror or error}); make it readable."
        ) from error
    if (size, digest) != (file.bytes, file.sha256):
        raise InvalidInputError(
            f"{path} is not the file that was exported (SHA-256 {digest[:12]}..., expected "
            f"{file.sha256[:12]}...); copy the dump anew."
        )


def _check_form(folder: Path, file: ManifestFile, table: DumpTable, version: int) -> list[str]:
    """Return the columns that are not known, after the known ones were checked."""
    path = folder / file.name
    with _opened(path) as opened:
        schema, kept = opened.schema_arrow, table.kept(version)
        for column in table.columns:
            if column.name not in kept:
                continue
            if column.name not in schema.names:
                raise InvalidInputError(
                    f"{path} has no column {column.name}: expected {', '.join(kept)}."
                )
            kind = schema.field(column.name).type
            if not kind.equals(column.type):
                raise InvalidInputError(
                    f"{path} holds {kind} in the column {column.name}: expected {column.type}."
                )
        groups = opened.metadata
        if groups.num_rows != file.rows:
            raise InvalidInputError(
                f"{path} has {groups.num_rows:,} rows, and the manifest says {file.rows:,}; copy "
                "the dump anew."
            )
        for at in range(groups.num_row_groups):
            if groups.row_group(at).total_byte_size > LARGEST_GROUP:
                raise InvalidInputError(
                    f"{path} holds more than 1 GiB in one row group, which is not read at once; "
                    "write it with smaller row groups."
                )
        known = {column.name for column in table.columns}
        return [f"{table.name}.{name}" for name in schema.names if name not in known]


def _opened(path: Path) -> Any:
    try:
        return pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InvalidInputError(
            f"{path} is not a whole Parquet file ({reason_of(error)}); copy the dump anew."
        ) from error


def _read(batches: Iterator[Any], path: Path) -> Iterator[list[dict[str, Any]]]:
    try:
        for batch in batches:
            yield batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path} is damaged inside ({reason_of(error)}); what came before it is kept: export "
            "the dictionary anew and import that."
        ) from error


def reason_of(error: Exception) -> str:
    """Return the first line of what a library says."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
