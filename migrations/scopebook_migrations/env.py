"""Alembic's entry: runs the migrations over one connection, each in a transaction of its own.

So a migration that is killed leaves the ones before it done, and indexes of big tables can be built
while others write (`scopebook_migrations.online`).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pgvector.sqlalchemy  # noqa: F401 - registers the vector types that autogenerate compares
from alembic import context
from sqlalchemy import Connection, Engine, pool, text

from scopebook.db.base import Base
from scopebook.db.connecting import engine_over

#: Two processes that start at once must not migrate at once; the number is ours alone.
_ADVISORY_LOCK = 7_263_011
#: Seconds between two looks whether another has ended.
_LOOK_S = 0.2


def run() -> None:
    """Upgrade under an advisory lock, so that simultaneous starts wait for each other.

    A connection that is given is used within its transaction, which its owner ends; nobody else
    works in such a database.
    """
    given: Connection | None = context.config.attributes.get("connection")
    if given is not None:
        context.configure(
            connection=given, target_metadata=Base.metadata, within_a_transaction=True
        )
        _run()
        return
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise RuntimeError("alembic was started without sqlalchemy.url")
    engine = engine_over(url, poolclass=pool.NullPool)
    with _alone(engine), engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            transaction_per_migration=True,
        )
        _run()


def _run() -> None:
    with context.begin_transaction():
        context.run_migrations()


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold the lock inside the block, by a connection without a transaction.

    Whoever waits asks again and again: building an index waits for the end of all transactions
    that were there before, and one that waits for the lock would never end.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        ours = text("SELECT pg_try_advisory_lock(:key)").bindparams(key=_ADVISORY_LOCK)
        while not connection.scalar(ours):
            time.sleep(_LOOK_S)
        # The connection's end gives the lock back, also a killed one's.
        yield


run()
