"""What a database says of its tables, and their parts that only slow a load down."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import Session

import scopebook.db  # noqa: F401 - so that all tables are known
from scopebook.db.base import Base

#: So that text is the same whatever the server's or the person's settings are.
_FORMS: Final = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, YMD",
    "TimeZone": "UTC",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@dataclass(frozen=True)
class Removed:
    """Statements that bring back what was dropped before a load."""

    foreign_keys: list[str]
    indexes: list[str]


def use_plain_forms(session: Session) -> None:
    """Let numbers and times have one form in this transaction, and let it take its time."""
    for name, value in _FORMS.items():
        session.execute(
            text("SELECT set_config(:name, :value, true)"), {"name": name, "value": value}
        )


def all_tables(session: Session) -> set[str]:
    """Return the names of the tables in the schema, others' too."""
    rows = session.scalars(
        text(
            "SELECT relname FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
    )
    return set(rows)


def own_tables(session: Session) -> list[str]:
    """Return which tables of this Scopebook the database has, in order of their names."""
    return sorted(all_tables(session) & set(Base.metadata.tables))


def columns_of(session: Session, table: str) -> list[str]:
    """Return the columns of a table that are stored and not computed, in their order."""
    rows = session.scalars(
        text(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:table)"
            " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
        ),
        {"table": f'"{table}"'},
    )
    return list(rows)


def sequences_of(session: Session, table: str) -> dict[str, str]:
    """Return the sequences behind a table's columns, by column."""
    rows = session.execute(
        text(
            "SELECT attname, pg_get_serial_sequence(:table, attname) AS name FROM pg_attribute"
            " WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
        ),
        {"table": f'"{table}"'},
    )
    return {row.attname: row.name for row in rows if row.name is not None}


def drop_for_load(session: Session, tables: list[str]) -> Removed:
    """Drop the foreign keys between the tables and their indexes; return how to make them again.

    Tables point at each other in circles, and an index that is built at the end is built faster.
    """
    names = bindparam("tables", tables, type_=ARRAY(TEXT))
    keys = session.execute(
        text(
            "SELECT conrelid::regclass::text AS at, quote_ident(conname) AS name,"
            " pg_get_constraintdef(oid) AS made FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
            " AND (SELECT relname FROM pg_class c WHERE c.oid = conrelid) = ANY(:tables)"
        ).bindparams(names)
    ).all()
    for key in keys:
        session.execute(text(f"ALTER TABLE {key.at} DROP CONSTRAINT {key.name}"))
    indexes = session.execute(
        text(
            "SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(:tables)"
            # Conditions come back in another spelling than the migration's; these are small.
            " AND i.indpred IS NULL"
            " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
        ).bindparams(names)
    ).all()
    for index in indexes:
        session.execute(text(f"DROP INDEX {index.name}"))
    return Removed(
        [f"ALTER TABLE {key.at} ADD CONSTRAINT {key.name} {key.made}" for key in keys],
        [index.made for index in indexes],
    )


def make_again(session: Session, removed: Removed) -> None:
    """Build what was dropped for the load; the foreign keys are checked against all rows."""
    for statement in (*removed.indexes, *removed.foreign_keys):
        session.connection().exec_driver_sql(statement)
