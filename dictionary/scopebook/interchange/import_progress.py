"""How far an import has come: written with every batch, so that a killed one goes on there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, any_, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.import_tables import DumpImport, ImportedRow
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.errors import ConflictError
from scopebook.interchange.import_report import Counts, Refusal, RefusalFile
from scopebook.settings import settings

#: Hears which table is read, and how many of its rows are.
Told = Callable[[str, int], None]


class Place(NamedTuple):
    """Where in a dump a row stands."""

    file: str
    row: int


class DumpRow(NamedTuple):
    """A row of a dump."""

    place: Place
    values: dict[str, Any]


class Progress:
    """One import of one dump."""

    def __init__(self, factory: Sessions, row: DumpImport, told: Told | None) -> None:
        self.factory = factory
        self.import_id = row.id
        self.sha256 = row.sha256
        self.resumed = bool(row.progress)
        self._committed: dict[str, Any] = row.progress
        self._told = told
        self.phases: list[str] = list(row.progress.get("phases", []))
        self.notes: list[str] = list(row.progress.get("notes", []))
        #: Tables whose rows joined others that were here, so that they are not the dump's alone.
        self.joined: list[str] = list(row.progress.get("joined", []))
        self.counts = {
            table: Counts(**counts) for table, counts in row.progress.get("counts", {}).items()
        }
        self.refusals = RefusalFile(
            settings().data_dir / "imports" / f"{row.sha256[:16]}.refused.jsonl",
            row.progress.get("refused_bytes", 0),
        )

    def of(self, table: str) -> Counts:
        """Return a table's counts."""
        return self.counts.setdefault(table, Counts())

    def refuse(self, table: str, place: Place, reason: str) -> None:
        """Note a row that does not come in."""
        self.of(table).refused += 1
        self.refusals.add(Refusal(file=place.file, row=place.row, reason=reason))

    def note(self, sentence: str) -> None:
        """Note what a person should know of the whole."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def join(self, *tables: str) -> None:
        """Note that rows of these tables joined others that were here."""
        self.joined += [table for table in tables if table not in self.joined]

    @contextmanager
    def batch(self) -> Iterator[Session]:
        """One transaction: rows, and the note that they are in."""
        with unit_of_work(self.factory) as session:
            row = session.get_one(DumpImport, self.import_id, with_for_update=True)
            if row.progress != self._committed:
                raise ConflictError(
                    f"{row.source} is being read by another import as well; wait for its end."
                )
            yield session
            self.refusals.flush()
            row.progress = self._state()
        self._committed = self._state()

    @contextmanager
    def phase(self, name: str) -> Iterator[Session | None]:
        """One transaction that happens once; None where it has."""
        if name in self.phases:
            yield None
            return
        with self.batch() as session:
            yield session
            self.phases.append(name)

    def read(
        self,
        table: str,
        batches: Iterable[list[DumpRow]],
        write: Callable[[Session, list[DumpRow]], None],
    ) -> None:
        """Let `write` take each batch, which counts its rows, in a transaction of its own."""
        for rows in batches:
            with self.batch() as session:
                write(session, rows)
                self.of(table).read += len(rows)
            self.tell(table)

    def tell(self, table: str) -> None:
        """Say how far a table is."""
        if self._told is not None:
            self._told(table, self.of(table).read)

    def _state(self) -> dict[str, Any]:
        return {
            "phases": list(self.phases),
            "notes": list(self.notes),
            "joined": list(self.joined),
            "counts": {table: asdict(counts) for table, counts in self.counts.items()},
            "refused_bytes": self.refusals.size,
        }


def begin_import(
    factory: Sessions, *, sha256: str, kind: str, source: Path, told: Told | None
) -> Progress:
    """Begin to read a dump, or go on where an interrupted import of it was."""
    with unit_of_work(factory) as session:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(sha256, 0))))
        row = session.scalar(select(DumpImport).where(DumpImport.sha256 == sha256))
        if row is not None and row.finished_at is not None:
            # Read again, it adds what is not here any more or not yet, and nothing twice.
            session.execute(delete(DumpImport).where(DumpImport.id == row.id))
            row = None
        if row is None:
            row = DumpImport(sha256=sha256, format=kind, source=str(source), progress={})
            session.add(row)
            session.flush()
        return Progress(factory, row, told)


def keep_rows(
    session: Session, import_id: int, kind: str, pairs: Sequence[tuple[int, int]]
) -> None:
    """Note which row ids numbers of the dump became."""
    if pairs:
        session.execute(
            insert(ImportedRow),
            [
                {"import_id": import_id, "kind": kind, "number": number, "row_id": row_id}
                for number, row_id in pairs
            ],
        )


def kept_rows(
    session: Session, import_id: int, kind: str, numbers: Iterable[int] | None = None
) -> dict[int, int]:
    """Return the row ids of these numbers, of all if none are named."""
    statement = select(ImportedRow.number, ImportedRow.row_id).where(
        ImportedRow.import_id == import_id, ImportedRow.kind == kind
    )
    if numbers is not None:
        wanted = literal(sorted(set(numbers)), ARRAY(BigInteger))
        statement = statement.where(ImportedRow.number == any_(wanted))
    return {row.number: row.row_id for row in session.execute(statement)}


def end_import(session: Session, import_id: int) -> None:
    """Note that all is in, and forget what only going on would need."""
    session.execute(delete(ImportedRow).where(ImportedRow.import_id == import_id))
    row = session.get_one(DumpImport, import_id)
    row.finished_at = func.now()
