"""Alembic's entry: runs the migrations over one connection, one transaction for all."""

import pgvector.sqlalchemy  # noqa: F401 - registers the vector types that autogenerate compares
from alembic import context
from sqlalchemy import Connection, pool, text

from scopebook.db.base import Base
from scopebook.db.connecting import engine_over

#: Two processes that start at once must not migrate at once; the number is ours alone.
_ADVISORY_LOCK = 7_263_011


def run() -> None:
    """Upgrade under an advisory lock, so that simultaneous starts wait for each other.

    A connection that is given is used within its transaction, which its owner ends.
    """
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        _run_over(given)
        return
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise RuntimeError("alembic was started without sqlalchemy.url")
    engine = engine_over(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        _run_over(connection)


def _run_over(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        context.run_migrations()


run()
