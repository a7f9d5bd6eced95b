"""Who looks at a feature now: told by open pages, forgotten when they are silent."""

from typing import Any, Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account
from scopebook.db.review_tables import Presence
from scopebook.feature_writes import tell

#: A page that was silent for so long is closed, or its server is gone.
SILENT_S: Final = 30


def _silent() -> Any:
    return func.now() - func.make_interval(0, 0, 0, 0, 0, 0, SILENT_S)


def show_presence(session: Session, feature_id: int, viewer: str, account_id: int) -> None:
    """Note that a page shows a feature; others are told when it is new to them."""
    seen = {"account_id": account_id, "seen_at": func.now()}
    known = session.execute(
        update(Presence)
        .where(Presence.feature_id == feature_id, Presence.viewer == viewer)
        .values(seen)
        .returning(Presence.viewer)
    ).one_or_none()
    if known is None:
        session.execute(
            insert(Presence)
            .values(feature_id=feature_id, viewer=viewer, **seen)
            .on_conflict_do_nothing()
        )
    gone = session.execute(
        delete(Presence)
        .where(Presence.feature_id == feature_id, Presence.seen_at < _silent())
        .returning(Presence.viewer)
    ).all()
    if known is None or gone:
        tell(session, {"feature": feature_id, "presence": True})


def end_presence(session: Session, feature_id: int, viewer: str) -> None:
    """Note that a page shows a feature no more."""
    session.execute(
        delete(Presence).where(Presence.feature_id == feature_id, Presence.viewer == viewer)
    )
    tell(session, {"feature": feature_id, "presence": True})


def present_at(session: Session, feature_id: int) -> list[str]:
    """Return who looks at a feature, each once, by name."""
    return list(
        session.scalars(
            select(Account.name)
            .distinct()
            .join(Presence, Presence.account_id == Account.id)
            .where(Presence.feature_id == feature_id, Presence.seen_at >= _silent())
            .order_by(Account.name)
        )
    )
