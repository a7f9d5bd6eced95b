"""Whether this process can serve: database, broker and artifacts, each asked for a bounded time.

What it says is for everybody, so that it names no address and no folder; `scopebook doctor` does.
"""

import asyncio
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Final

import anyio
import psycopg
from anyio import to_thread
from sqlalchemy import URL

from scopebook.artifacts import check_writable
from scopebook.brokers import knock
from scopebook.db.migrate import known_revisions
from scopebook.db.sessions import Sessions
from scopebook.errors import UnavailableError
from scopebook.settings import Settings
from scopebook_api.health_schemas import ReadyCheck

#: A server that says nothing for so long is taken to be down.
_ANSWER_S: Final = 3
#: For a check as a whole, also where a name is looked up or a disk hangs.
_LIMIT_S: Final = 5.0
#: All who ask within so long get the same answer: strangers may ask, and each look costs something.
_FRESH_S: Final = 1.0
#: A hanging check keeps its thread; more of them are not begun.
_THREADS: Final = 9


class NotReadyError(Exception):
    """What is missing, in a sentence without names of machines."""


class Ready:
    """The checks of one app."""

    def __init__(self, sessions: Sessions, chosen: Settings) -> None:
        self._checks: dict[str, Callable[[], None]] = {
            "database": lambda: check_database(sessions.kw["bind"].url),
            "broker": partial(check_broker, chosen.broker_url),
            "artifacts": check_artifacts,
        }
        self._lock = asyncio.Lock()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._looked: tuple[float, list[ReadyCheck]] | None = None

    async def look(self) -> list[ReadyCheck]:
        """Return what each check found, at most a second ago."""
        async with self._lock:
            if self._looked is None or time.monotonic() - self._looked[0] > _FRESH_S:
                found = await asyncio.gather(*(self._run(name) for name in self._checks))
                self._looked = (time.monotonic(), found)
            return self._looked[1]

    async def _run(self, name: str) -> ReadyCheck:
        began = time.perf_counter()
        says = f"did not answer within {_LIMIT_S:.0f} s"
        ok = False
        with anyio.move_on_after(_LIMIT_S):
            try:
                await to_thread.run_sync(
                    self._checks[name], abandon_on_cancel=True, limiter=self._limiter
                )
            except NotReadyError as error:
                says = str(error)
            else:
                ok, says = True, "fine"
        ms = round(1000 * (time.perf_counter() - began))
        return ReadyCheck(name=name, ok=ok, says=says, ms=ms)


def check_database(url: URL) -> None:
    """Raise NotReadyError unless the database answers and has all migrations.

    Over a connection of its own: that all of the pool are in use is no reason to be restarted.
    """
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    limit = f"-c statement_timeout={1000 * _ANSWER_S}"
    try:
        with psycopg.connect(address, connect_timeout=_ANSWER_S, options=limit) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    except psycopg.Error as error:
        raise NotReadyError("the database does not answer") from error
    revision = None if row is None else str(row[0])
    known = _revisions()
    if revision != known[0]:
        behind = revision is None or revision in known
        raise NotReadyError(
            "the database lacks migrations; they are run by `scopebook up` or `scopebook migrate`"
            if behind
            else "the database is of a newer version than this program; update this program"
        )


@cache
def _revisions() -> tuple[str, ...]:
    return known_revisions()


def check_broker(url: str | None) -> None:
    """Raise NotReadyError unless the broker answers."""
    if url is None:
        raise NotReadyError("no broker is set: SCOPEBOOK_BROKER_URL names it")
    try:
        knock(url, within_s=_ANSWER_S)
    except Exception as error:
        # Each transport has errors of its own, and a wrong URL raises others still.
        raise NotReadyError("the broker does not answer") from error


def check_artifacts() -> None:
    """Raise NotReadyError unless a file can be written to the artifacts and removed."""
    try:
        check_writable()
    except UnavailableError as error:
        cause = error.__cause__
        told = cause.strerror if isinstance(cause, OSError) and cause.strerror else "no reason told"
        raise NotReadyError(f"the artifacts cannot be written to ({told})") from error
    except Exception as error:
        # Each kind of object store has errors of its own.
        raise NotReadyError(
            f"the artifacts cannot be written to ({type(error).__name__})"
        ) from error
