"""The mark of an instance into which a backup is being restored, or was and did not end."""

from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.db.connecting import engine_over
from scopebook.errors import ConflictError

#: A table by itself and no part of the schema: it is there before there is one.
_TABLE: Final = "unfinished_restore"


def mark(session: Session, path: str) -> None:
    """Note that a restore of `path` begins; it stands there if this session commits."""
    unmark(session)
    session.execute(text(f"CREATE TABLE {_TABLE} (path text, begun timestamptz DEFAULT now())"))
    session.execute(text(f"INSERT INTO {_TABLE} (path) VALUES (:path)"), {"path": path})


def unmark(session: Session) -> None:
    """Take the note away."""
    session.execute(text(f"DROP TABLE IF EXISTS {_TABLE}"))


def is_marked(session: Session) -> bool:
    """Tell whether a restore was begun that did not end."""
    return session.scalar(text("SELECT to_regclass(:table)"), {"table": _TABLE}) is not None


def refuse_unfinished(database_url: str) -> None:
    """Raise ConflictError where a restore was begun that did not end."""
    engine = engine_over(database_url)
    try:
        with Session(engine) as session:
            check_finished(session)
    finally:
        engine.dispose()


def check_finished(session: Session) -> None:
    """Raise ConflictError where a restore was begun that did not end."""
    if not is_marked(session):
        return
    row = session.execute(text(f"SELECT path, begun FROM {_TABLE}")).one()
    raise ConflictError(
        f"A restore of {row.path} was begun at {row.begun:%Y-%m-%d %H:%M %Z} and has not ended, so "
        "this instance is empty: restore a backup into it by `scopebook restore`, or choose "
        "another data folder or database."
    )
