"""Make a backup: the rows of one moment, the files that these name, and a manifest.

Files come first, while nobody removes any (`scopebook.artifact_holds`); the rows then follow from
the same snapshot, however long that takes. Rows are streamed, so memory does not grow with them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import psycopg
import zstandard
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.accounts import local_actor
from scopebook.artifact_holds import keeping
from scopebook.audit import record
from scopebook.backups.files_out import NamedFiles, named_files, opened_or_none
from scopebook.backups.layout import (
    LEFT_OUT,
    MANIFEST,
    VERSION,
    FilePart,
    Manifest,
    TablePart,
    written,
)
from scopebook.backups.marker import check_finished
from scopebook.backups.schema import columns_of, own_tables, sequences_of, use_plain_forms
from scopebook.backups.writing import Hashing, Target, copy_file, new_backup
from scopebook.db.migrate import newest_revision, revision_of
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.errors import ConflictError, UnavailableError
from scopebook.interchange.new_folder import check_new

#: Fast, and a quarter of the size.
_LEVEL: Final = 3
_SHOWN: Final = 5

Told = Callable[[str], None]


@dataclass(kw_only=True)
class BackupReport:
    """What was written."""

    path: str
    revision: str
    made_at: datetime
    tables: int = 0
    rows: int = 0
    files: int = 0
    #: Of all parts, as they lie there.
    size_bytes: int = 0
    #: Files that rows name and that were nowhere to be found.
    missing: list[str] = field(default_factory=list)


def _silent(_said: str) -> None:
    pass


def make_backup(
    factory: Sessions, path: Path, *, allow_missing: bool = False, told: Told = _silent
) -> BackupReport:
    """Write everything of the instance to `path`: one file if it ends in `.zip`, else a folder.

    Raises ConflictError where something is at the path, the schema is not this version's or,
    unless `allow_missing`, a file that rows name is gone; UnavailableError where the disk is full.
    """
    check_new(path)
    with unit_of_work(factory) as session:
        _checked_revision(session)
        own = own_tables(session)
        record(session, local_actor(session), "made a backup", str(path))
    with new_backup(path) as target, unit_of_work(factory) as session:
        with keeping(factory):
            session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            _hold_tables(session, own)
            revision = _checked_revision(session)
            use_plain_forms(session)
            made_at = datetime.now(UTC)
            named = named_files(session)
            files = _copy_files(named, target, told)
            _refuse_missing(named, allow_missing)
        tables = [
            _copy_table(session, table, target, told) for table in own if table not in LEFT_OUT
        ]
        manifest = Manifest(
            format="scopebook-backup",
            version=VERSION,
            scopebook=version("scopebook"),
            revision=revision,
            made_at=made_at,
            tables=tables,
            files=files,
            sequences=_sequences(session, [part.table for part in tables]),
            saes=named.saes,
            embedders=named.embedders,
            missing=sorted(named.missing),
        )
        with target.part(MANIFEST) as file:
            file.write(written(manifest))
    return _report(path, manifest)


def _hold_tables(session: Session, tables: Sequence[str]) -> None:
    """Let no migration change a table until the end; before the snapshot, which the
    next query takes.

    A table that is rewritten meanwhile would be empty to an older snapshot.
    """
    names = ", ".join(f'"{table}"' for table in tables)
    session.execute(text(f"LOCK TABLE {names} IN ACCESS SHARE MODE"))


def _checked_revision(session: Session) -> str:
    check_finished(session)
    present, newest = revision_of(session), newest_revision()
    if present is None or present != newest:
        raise ConflictError(
            f"The database is at revision {present} and this Scopebook at {newest}; make the "
            "backup with the version that the instance runs, or start `scopebook up` first, which "
            "brings the database up to date."
        )
    return present


def _copy_files(named: NamedFiles, target: Target, told: Told) -> list[FilePart]:
    parts = []
    for file in named.files.values():
        opened = opened_or_none(file)
        if opened is None:
            named.missing.append(file.place)
            continue
        told(f"copying {file.root}/{file.path}")
        with opened as source, target.part(f"{file.root}/{file.path}") as copy:
            copy_file(source, copy)
        size, digest = copy.written
        parts.append(FilePart(root=file.root, path=file.path, size_bytes=size, sha256=digest))
    return parts


def _refuse_missing(named: NamedFiles, allow_missing: bool) -> None:
    if not named.missing or allow_missing:
        return
    shown = ", ".join(sorted(named.missing)[:_SHOWN])
    more = len(named.missing) - _SHOWN
    raise ConflictError(
        f"The dictionary names files that are not here: {shown}"
        f"{f' and {more} more' if more > 0 else ''}; make the backup where they are, bring them "
        "back, or go without them by --allow-missing."
    )


def _copy_table(session: Session, table: str, target: Target, told: Told) -> TablePart:
    """Stream a table's rows into its part, compressed on the way."""
    told(f"copying table {table}")
    columns = columns_of(session, table)
    names = ", ".join(f'"{name}"' for name in columns)
    statement = f'COPY "{table}" ({names}) TO STDOUT'
    try:
        with (
            target.part(f"tables/{table}.copy.zst") as file,
            _driver(session).cursor() as cursor,
        ):
            length = _stream(cursor, statement, file)
            rows = cursor.rowcount
    except psycopg.Error as error:
        raise UnavailableError(
            f"Table {table} could not be read to its end ({str(error).splitlines()[0]}); mend the "
            "database, then make the backup again."
        ) from error
    size, digest = file.written
    return TablePart(
        table=table,
        columns=columns,
        rows=rows,
        text_bytes=length,
        size_bytes=size,
        sha256=digest,
    )


def _stream(cursor: "psycopg.Cursor[Any]", statement: str, file: Hashing) -> int:
    length = 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    with (
        compressor.stream_writer(cast(Any, file), closefd=False) as stream,
        cursor.copy(statement) as rows,
    ):
        for block in rows:
            length += len(block)
            stream.write(block)
    return length


def _driver(session: Session) -> "psycopg.Connection[Any]":
    return cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)


def _sequences(session: Session, tables: list[str]) -> dict[str, int]:
    """Return the last value of each; read last, since sequences are of no snapshot."""
    values = {}
    for table in tables:
        for column, sequence in sequences_of(session, table).items():
            # An empty answer: it was never drawn from.
            last = session.scalar(text(f"SELECT last_value FROM {sequence} WHERE is_called"))
            if last is not None:
                values[f"{table}.{column}"] = last
    return values


def _report(path: Path, manifest: Manifest) -> BackupReport:
    return BackupReport(
        path=str(path),
        revision=manifest.revision,
        made_at=manifest.made_at,
        tables=len(manifest.tables),
        rows=sum(part.rows for part in manifest.tables),
        files=len(manifest.files),
        size_bytes=sum(part.size_bytes for part in manifest.parts),
        missing=manifest.missing,
    )
