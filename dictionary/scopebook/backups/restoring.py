"""Bring a backup back into an empty instance.

Everything is checked before anything is touched. Then the instance is marked, the files are put in
place, and all rows come in one transaction, which takes the mark away at its end. A restore that
is killed leaves an instance that has no row and says what was begun; the next one begins anew.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import psycopg
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from scopebook.accounts import LOCAL, local_actor
from scopebook.artifacts import any_artifact, write_artifact, write_whole
from scopebook.audit import record
from scopebook.backups.layout import LEFT_OUT, FilePart, Manifest, TablePart
from scopebook.backups.marker import is_marked, mark, unmark
from scopebook.backups.reading import Backup, opened
from scopebook.backups.schema import (
    all_tables,
    columns_of,
    drop_for_load,
    make_again,
    own_tables,
    sequences_of,
    use_plain_forms,
)
from scopebook.db.jobs import Step
from scopebook.db.label_tables import Embedder
from scopebook.db.migrate import (
    drop_tables,
    knows_revision,
    migrate_within,
    newest_revision,
    revision_of,
)
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Sae
from scopebook.embedded.disk import free_bytes
from scopebook.errors import ConflictError, InvalidInputError, UnavailableError
from scopebook.settings import settings
from scopebook.vector_index import ensure_index

#: What an instance that nobody has used may hold: its log, and the row of `local`.
_OF_A_START: Final = frozenset({"audit_entry", *LEFT_OUT})
#: Which rows of tables that the migrations fill are people's.
_BY_PEOPLE: Final = {
    "account": f" WHERE name <> '{LOCAL}'",
    "tag": " WHERE created_at > (SELECT min(created_at) FROM tag)",
}

Told = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RestoreReport:
    """What was brought back."""

    path: str
    made_at: datetime
    #: The schema of the backup, and the one that its rows were brought to.
    revision: str
    newest_revision: str | None
    tables: int
    rows: int
    files: int
    #: Steps that were at work when the backup was made, and are due again.
    requeued: int
    missing: list[str]


def _silent(_said: str) -> None:
    pass


def restore_backup(
    factory: Sessions, path: Path, *, over_artifacts: bool = False, told: Told = _silent
) -> RestoreReport:
    """Bring back what `make_backup` wrote, into an instance that is empty and that nobody uses.

    Where artifacts lie already, `over_artifacts` says that no other instance uses them.

    Raises InvalidInputError where the backup is damaged or of a newer schema, ConflictError where
    the instance holds something or is in use; nothing was changed then.
    """
    with opened(path) as backup:
        _check_revision(path, backup.manifest)
        with unit_of_work(factory) as session:
            _check_target(session)
            if not (over_artifacts or is_marked(session)):
                _check_artifacts()
        _check_space(path, backup.manifest)
        backup.check(told)
        with unit_of_work(factory) as session:
            _check_target(session)
            mark(session, str(path.expanduser().absolute()))
        for file in backup.manifest.files:
            told(f"putting {file.name} in place")
            _place(backup, file)
        with unit_of_work(factory) as session:
            requeued = _load(session, backup, path, told)
    with unit_of_work(factory) as session:
        told("counting for the planner")
        session.execute(text("ANALYZE"))
    manifest = backup.manifest
    return RestoreReport(
        path=str(path),
        made_at=manifest.made_at,
        revision=manifest.revision,
        newest_revision=newest_revision(),
        tables=len(manifest.tables),
        rows=sum(part.rows for part in manifest.tables),
        files=len(manifest.files),
        requeued=requeued,
        missing=manifest.missing,
    )


def _check_revision(path: Path, manifest: Manifest) -> None:
    if not knows_revision(manifest.revision):
        raise InvalidInputError(
            f"{path} was made by Scopebook {manifest.scopebook} at revision {manifest.revision} of "
            f"the schema, and this one knows none beyond {newest_revision()}; restore it with a "
            "Scopebook at least as new. Nothing was changed."
        )


def _check_target(session: Session) -> None:
    """Refuse a database that holds something, that others use or that is of another version."""
    others = session.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND usename IS NOT NULL AND leader_pid IS NULL"
        )
    )
    if others:
        raise ConflictError(
            f"{others} other connections use this instance's database; stop `scopebook up`, its "
            "workers and all other commands, then restore again. Nothing was changed."
        )
    _check_empty(session)
    present = revision_of(session)
    if present is not None and not knows_revision(present):
        raise ConflictError(
            f"This database is at revision {present}, which this Scopebook does not know; restore "
            "into an empty database. Nothing was changed."
        )


def _check_empty(session: Session) -> None:
    held = next((table for table in own_tables(session) if _holds_something(session, table)), None)
    if held is not None:
        raise ConflictError(
            f"This instance is not empty: its table {held} has rows. Restore into a new data "
            "folder (SCOPEBOOK_DATA_DIR) or an empty database. Nothing was changed."
        )


def _check_artifacts() -> None:
    """Refuse artifacts of an instance that may live: both would number, write and remove alike."""
    if any_artifact():
        raise ConflictError(
            f"{settings().artifacts} holds files, maybe of an instance that still uses them: let "
            "SCOPEBOOK_ARTIFACTS_URL name an empty place or, if no other instance uses it, give "
            "--over-artifacts. Nothing was changed."
        )


def _holds_something(session: Session, table: str) -> bool:
    if table in _OF_A_START:
        return False
    rows = f'SELECT FROM "{table}"{_BY_PEOPLE.get(table, "")}'
    return bool(session.scalar(text(f"SELECT EXISTS ({rows})")))


def _check_space(path: Path, manifest: Manifest) -> None:
    """Refuse what the disks of the data folder and of the artifacts cannot hold."""
    for folder, needed in _needed_by_disk(manifest).items():
        free = free_bytes(folder)
        if needed > free:
            raise UnavailableError(
                f"{path} unpacks to {needed / 1e9:,.1f} GB on the disk of {folder}, which has "
                f"{free / 1e9:,.1f} GB free; free space there or choose another folder. "
                "Nothing was changed."
            )


def _needed_by_disk(manifest: Manifest) -> dict[Path, int]:
    """Return how many bytes each disk has to hold, by a folder that lies on it."""
    folders = {"data": settings().data_dir.expanduser().absolute()}
    if _is_folder():
        folders["artifacts"] = Path(settings().artifacts).expanduser().absolute()
    needed = Counter(dict.fromkeys(folders, 0))
    for file in manifest.files:
        if file.root in folders:
            needed[file.root] += file.size_bytes
    if (settings().data_dir / "postgres-password").exists():  # the database lies there, too
        needed["data"] += sum(part.text_bytes for part in manifest.tables)
    disks: dict[int, Path] = {}
    totals: Counter[Path] = Counter()
    for root, folder in folders.items():
        there = next(place for place in (folder, *folder.parents) if place.exists())
        totals[disks.setdefault(_disk_of(there), there)] += needed[root]
    return dict(totals)


def _disk_of(place: Path) -> int:
    return place.stat().st_dev


def _is_folder() -> bool:
    return "://" not in settings().artifacts


def _place(backup: Backup, part: FilePart) -> None:
    def write(file: BinaryIO) -> None:
        for block in backup.content(part):
            file.write(block)

    if part.root == "artifacts":
        write_artifact(part.path, write)
        return
    try:
        write_whole(settings().data_dir / part.path, write)
    except OSError as error:
        raise UnavailableError(
            f"{settings().data_dir / part.path} could not be written ({error.strerror or error}); "
            "mend that, then restore again."
        ) from error


def _load(session: Session, backup: Backup, path: Path, told: Told) -> int:
    """Bring in all rows, and the schema up to date; return how many steps are due again."""
    manifest = backup.manifest
    # Files took their time: what somebody has written meanwhile is not dropped.
    _check_empty(session)
    try:
        use_plain_forms(session)
        tables = _make_tables(session, manifest)
        removed = drop_for_load(session, tables)
        for table in tables:
            if session.scalar(text(f'SELECT EXISTS (SELECT FROM "{table}")')):
                session.execute(text(f'DELETE FROM "{table}"'))
        for part in manifest.tables:
            told(f"loading table {part.table}")
            _load_table(session, backup, part)
        _set_sequences(session, manifest)
        told("building indexes and checking references")
        make_again(session, removed)
        told("bringing the schema up to date")
        migrate_within(session.connection())
    except (psycopg.OperationalError, OperationalError) as error:
        raise UnavailableError(
            f"The database took no more rows ({_first_line(error)}); mend that, then restore "
            "again. The instance stays empty."
        ) from error
    except (psycopg.Error, DBAPIError) as error:
        raise InvalidInputError(
            f"{path} does not fit the tables of revision {manifest.revision} "
            f"({_first_line(error)}); take another backup. The instance stays empty."
        ) from error
    _relocate(session, manifest)
    requeued = _requeue(session)
    for embedder_id in session.scalars(select(Embedder.id)).all():
        ensure_index(session, embedder_id)
    _note(session, path, manifest)
    unmark(session)
    return requeued


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _make_tables(session: Session, manifest: Manifest) -> list[str]:
    """Make the tables of the backup's revision; return those whose rows it holds."""
    drop_tables(session.connection())
    others = all_tables(session)
    migrate_within(session.connection(), manifest.revision)
    made = all_tables(session) - others - {"alembic_version"}
    named = {part.table for part in manifest.tables}
    wrong = sorted((named - made) | (made - named - LEFT_OUT))
    if wrong:
        raise InvalidInputError(
            f"The backup does not hold the tables of revision {manifest.revision} (see "
            f"{wrong[0]}); take another backup. The instance stays empty."
        )
    return sorted(made)


def _load_table(session: Session, backup: Backup, part: TablePart) -> None:
    if sorted(columns_of(session, part.table)) != sorted(part.columns):
        raise InvalidInputError(
            f"Table {part.table} of the backup has other columns than this version's; take another "
            "backup. The instance stays empty."
        )
    names = ", ".join(f'"{name}"' for name in part.columns)
    driver = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    with driver.cursor() as cursor:
        _copy(cursor, f'COPY "{part.table}" ({names}) FROM STDIN', backup.text(part))
        if cursor.rowcount != part.rows:
            raise InvalidInputError(
                f"Table {part.table} of the backup has {cursor.rowcount:,} rows and not the "
                f"{part.rows:,} that it says; take another copy of it. The instance stays empty."
            )


def _copy(cursor: "psycopg.Cursor[Any]", statement: str, blocks: Iterable[bytes]) -> None:
    with cursor.copy(statement) as copy:
        for block in blocks:
            copy.write(block)


def _set_sequences(session: Session, manifest: Manifest) -> None:
    for part in manifest.tables:
        for column, sequence in sequences_of(session, part.table).items():
            last = manifest.sequences.get(f"{part.table}.{column}")
            if last is not None:
                session.execute(
                    text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last}
                )


def _relocate(session: Session, manifest: Manifest) -> None:
    """Let rows that hold whole paths point at where the files lie here."""
    data = settings().data_dir.expanduser().resolve()
    for sae_id, name in manifest.saes.items():
        session.execute(
            update(Sae).where(Sae.id == sae_id).values(artifact=(data / name).as_posix())
        )
    for embedder_id, name in manifest.embedders.items():
        place = f"{settings().artifacts}/{name}"
        session.execute(update(Embedder).where(Embedder.id == embedder_id).values(artifact=place))


def _requeue(session: Session) -> int:
    """Let the steps that were at work be due again, without waiting for a lease of then."""
    again = (
        update(Step)
        .where(Step.state == "running")
        .values(state="queued", worker=None, lease_until=None)
        .returning(Step.id)
    )
    requeued = len(session.scalars(again).all())
    session.execute(update(Step).where(Step.state == "cancelling").values(lease_until=func.now()))
    return requeued


def _note(session: Session, path: Path, manifest: Manifest) -> None:
    record(
        session,
        local_actor(session),
        "restored a backup",
        str(path),
        made_at=manifest.made_at.isoformat(),
        scopebook=manifest.scopebook,
        revision=manifest.revision,
    )
    session.flush()
