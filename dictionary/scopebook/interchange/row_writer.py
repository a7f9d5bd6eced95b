"""Write rows of a dump in bulk; where the database refuses some, find out which and why."""

import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.base import Base
from scopebook.interchange.dump_files import reason_of
from scopebook.interchange.import_progress import DumpRow, Place

#: A row of a dump, and its values as the database takes them.
Ready = tuple[DumpRow, Sequence[Any]]
Refuse = Callable[[Place, str], None]

_OF_THE_ROW: Final = (psycopg.IntegrityError, psycopg.DataError, struct.error, OverflowError)


def write_rows(
    session: Session,
    table: type[Base],
    columns: Sequence[str],
    rows: Sequence[Ready],
    refuse: Refuse,
) -> list[Ready]:
    """Write the rows, in one piece if the database takes them so; return those that it took."""
    if not rows:
        return []
    try:
        _copy(session, table, columns, rows)
    except _OF_THE_ROW:
        return [row for row in rows if _written(session, table, columns, row, refuse)]
    return list(rows)


def _copy(
    session: Session, table: type[Base], columns: Sequence[str], rows: Sequence[Ready]
) -> None:
    with session.begin_nested():
        copy_rows(session, table, columns, [values for _, values in rows])


def _written(
    session: Session, table: type[Base], columns: Sequence[str], row: Ready, refuse: Refuse
) -> bool:
    try:
        _copy(session, table, columns, [row])
    except _OF_THE_ROW as error:
        refuse(row[0].place, _why(error))
        return False
    return True


def _why(error: Exception) -> str:
    if isinstance(error, psycopg.errors.UniqueViolation):
        return "it is there twice"
    if isinstance(error, psycopg.errors.ForeignKeyViolation):
        return "it points to something that did not come in"
    if isinstance(error, psycopg.errors.CheckViolation | psycopg.errors.NotNullViolation):
        name = error.diag.constraint_name or error.diag.column_name
        return f"it breaks the rule {name} of the dictionary"
    return f"the dictionary cannot hold it ({reason_of(error)})"
