"""Files that rows name are not removed while a backup copies them.

A backup sees the rows of one moment and needs some time for the files that those name. Whoever
removes files lets go of them in the rows first, then removes them in `removing`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.sessions import Sessions, unit_of_work

#: An advisory lock: shared by who removes, held alone by a backup. The number is ours.
_LOCK: Final = 7_263_021
_LOOK_EVERY_S: Final = 0.5


def _nothing() -> None:
    pass


@contextmanager
def removing(factory: Sessions, look: Callable[[], object] = _nothing) -> Iterator[None]:
    """Give a time in which no backup copies files; `look` is called while one does, and may raise.

    Before it, the transaction that lets go of the files in the rows must have ended.
    """
    while True:
        with unit_of_work(factory) as session:
            _stay(session)
            if session.scalar(select(func.pg_try_advisory_xact_lock_shared(_LOCK))):
                yield
                return
        look()
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def keeping(factory: Sessions) -> Iterator[None]:
    """Let nobody remove files inside the block; waits for who is at it.

    Raises SQLAlchemyError at the end if the database let go of the lock before.
    """
    with unit_of_work(factory) as session:
        _stay(session)
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield
        still_held(session)


def _stay(session: Session) -> None:
    """Let the server not end this transaction, and so its lock, for saying nothing meanwhile."""
    session.execute(select(func.set_config("idle_in_transaction_session_timeout", "0", True)))


def still_held(session: Session) -> None:
    """Ask the lock's connection for a sign of life: without it, files may be gone."""
    session.execute(select(1))
