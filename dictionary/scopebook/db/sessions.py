"""Sessions, and the one place where the product commits."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy.orm import Session, sessionmaker

from scopebook import notices
from scopebook.db.connecting import engine_over
from scopebook.errors import InvalidInputError
from scopebook.settings import settings

Sessions = sessionmaker[Session]

#: That one process opens; who needs one more waits.
MOST_CONNECTIONS = 22
#: Of these, those that stay open.
KEPT_CONNECTIONS = 12


def sessions_for(database_url: str) -> Sessions:
    """Return a session factory over a pool that notices a server that restarted or is cut off."""
    engine = engine_over(
        database_url,
        pool_pre_ping=True,
        # Enough that seldom one more is needed, which ends after its request: it begins with a
        # handshake, and with no plan and no catalog in its server process's memory. Not all, since
        # what such a process learns it keeps, about 20 MB.
        pool_size=KEPT_CONNECTIONS,
        max_overflow=MOST_CONNECTIONS - KEPT_CONNECTIONS,
        # An error would tell them to the log: texts of people, and secrets.
        hide_parameters=True,
    )
    return sessionmaker(engine, expire_on_commit=False)


@cache
def sessions() -> Sessions:
    """Return this process's session factory, over the database of the settings."""
    database_url = settings().database_url
    if database_url is None:
        raise InvalidInputError(
            "SCOPEBOOK_DATABASE_URL is not set: start this through `scopebook up`, "
            "or name a PostgreSQL database."
        )
    return sessions_for(database_url)


@contextmanager
def unit_of_work(factory: Sessions) -> Iterator[Session]:
    """Commit at the end, roll back on any exception; notices leave only after the commit."""
    with factory.begin() as session:
        yield session
    notices.send_requested(session)
