"""Bulk rows by COPY: the one way in for documents, contexts and evidence."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from psycopg import Connection
from psycopg.types.json import Jsonb
from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from scopebook.db.base import Base

#: From narrow to wide: a BigInteger is an Integer too, and a REAL a Float.
_TYPES: Sequence[tuple[type[Any], str]] = (
    (SmallInteger, "int2"),
    (BigInteger, "int8"),
    (Integer, "int4"),
    (REAL, "float4"),
    (Float, "float8"),
    (DateTime, "timestamptz"),
    (Boolean, "bool"),
    (LargeBinary, "bytea"),
    (String, "varchar"),
    (JSONB, "jsonb"),
)


def copy_rows(
    session: Session, table: type[Base], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Write rows in this session's transaction and return how many; columns not named default.

    `rows` are taken one by one, so they need not fit into memory. JSON columns take plain Python
    values.
    """
    target = cast(Table, table.__table__)
    chosen = [target.c[name] for name in columns]
    wrapped = [place for place, column in enumerate(chosen) if isinstance(column.type, JSONB)]
    names = ", ".join(f'"{name}"' for name in columns)
    written = 0
    with (
        _driver(session).cursor() as cursor,
        cursor.copy(f'COPY "{target.name}" ({names}) FROM STDIN (FORMAT BINARY)') as copy,
    ):
        copy.set_types([_type_name(column) for column in chosen])
        for row in rows:
            copy.write_row(_with_json(row, wrapped) if wrapped else row)
            written += 1
    return written


def _driver(session: Session) -> Connection[Any]:
    session.flush()
    return cast("Connection[Any]", session.connection().connection.driver_connection)


def _type_name(column: Column[Any]) -> str:
    if isinstance(column.type, ARRAY):
        return f"{_scalar_name(column.type.item_type)}[]"
    return _scalar_name(column.type)


def _scalar_name(column_type: Any) -> str:
    return next(name for kind, name in _TYPES if isinstance(column_type, kind))


def _with_json(row: Sequence[Any], places: Sequence[int]) -> list[Any]:
    wrapped = list(row)
    for place in places:
        if wrapped[place] is not None:
            wrapped[place] = Jsonb(wrapped[place])
    return wrapped
