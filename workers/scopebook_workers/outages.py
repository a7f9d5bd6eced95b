"""Wait for a database that is away: restarted, or killed and on its way back."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions, unit_of_work
from scopebook.settings import settings

log = logging.getLogger(__name__)

#: What a database raises that goes away, is not yet back, or ended a transaction that froze.
AWAY: Final = (OperationalError, InterfaceError, InternalError)
_PAUSE_S: Final = 0.25

Result = TypeVar("Result")


def patiently(do: Callable[[], Result], what: str) -> Result:
    """Return what `do` returns; while the database is away, try again for a lease's length."""
    until = time.monotonic() + settings().lease_s
    while True:
        try:
            return do()
        except AWAY as error:
            if time.monotonic() > until:
                raise
            log.warning("The database is away, and %s waits for it: %s", what, error)
            time.sleep(_PAUSE_S)


def read_patiently(read: Callable[[Session], Result]) -> Result:
    """Return what `read` reads in a transaction of its own."""

    def once() -> Result:
        with unit_of_work(sessions()) as session:
            return read(session)

    return patiently(once, "a step's reading")
