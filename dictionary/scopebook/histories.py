"""What people did to features, and how to undo it: by a new entry, and only if nothing rests on it.

An entry is out of force while an undo of it is in force; an undo can be undone too. A later entry
rests on an earlier one if both changed the same thing, or if it takes for granted what the earlier
one made (a verdict rests on the proposal that it is about).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import any_, func, literal, select, update
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account
from scopebook.db.review_tables import Change, SecondOpinion
from scopebook.discussion import add_version
from scopebook.errors import ConflictError, ForbiddenError, NotFoundError
from scopebook.example_marks import put_mark
from scopebook.feature_writes import FeatureWrite, Said, record
from scopebook.groupings import choose_grouping
from scopebook.labels import labels_by_id
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.reviews import add_pin, add_review, find_label
from scopebook.tags import put_tag


@dataclass(frozen=True, kw_only=True)
class ChangeView:
    """An entry of the history."""

    id: int
    feature_id: int
    version: int
    author: str
    #: What was done (`_RESTORE`), or `undo`.
    kind: str
    before: Any
    after: Any
    #: The wording that it is about, and of which sense that is; None: about none, of the feature.
    label: str | None
    sense: int | None
    reason: str | None
    undoes_id: int | None
    #: Whether an undo of it is in force.
    undone: bool
    bulk_id: int | None
    created_at: datetime


def history_of(
    session: Session, feature_id: int, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[ChangeView], str | None]:
    """Return what people did to a feature, newest first, and the next page's cursor."""
    statement = select(Change).where(Change.feature_id == feature_id)
    if cursor is not None:
        statement = statement.where(Change.version < decode_cursor(cursor, [int])[0])
    rows = session.scalars(statement.order_by(Change.version.desc()).limit(limit + 1)).all()
    following = encode_cursor([rows[limit - 1].version]) if len(rows) > limit else None
    out = out_of_force(session, feature_id)
    return changes_as_views(session, rows[:limit], out), following


def changes_as_views(
    session: Session, changes: Sequence[Change], out: set[int]
) -> list[ChangeView]:
    """Return entries as they are shown; `out` are those out of force."""
    accounts = select(Account.id, Account.name).where(
        Account.id.in_({change.account_id for change in changes})
    )
    names = {row.id: row.name for row in session.execute(accounts)}
    about = {change.id: _label_about(change) for change in changes}
    labels = labels_by_id(session, [it for it in about.values() if it is not None])
    labelled = {change_id: labels.get(it) if it else None for change_id, it in about.items()}
    return [
        ChangeView(
            id=change.id,
            feature_id=change.feature_id,
            version=change.version,
            author=names[change.account_id],
            kind=change.kind,
            before=change.before,
            after=change.after,
            label=label.text if (label := labelled[change.id]) else None,
            sense=label.senses[0] if label and label.senses else None,
            reason=change.reason,
            undoes_id=change.undoes_id,
            undone=change.id in out,
            bulk_id=change.bulk_id,
            created_at=change.created_at,
        )
        for change in changes
    ]


def _label_about(change: Change) -> int | None:
    """Return the label that a verdict, a proposal or a pin is about, also where it is undone."""
    what, *rest = change.slot.split(":")
    if what in ("review", "label"):
        return int(rest[0])
    if what == "pin":
        pinned = change.after or change.before
        return None if pinned is None else int(pinned["label_id"])
    return None


def count_changes(session: Session, feature_id: int) -> int:
    """Return how many entries a feature's history has."""
    return session.execute(select(func.count()).where(Change.feature_id == feature_id)).scalar_one()


def out_of_force(session: Session, feature_id: int) -> set[int]:
    """Return the entries of a feature that are undone."""
    undos = session.execute(
        select(Change.id, Change.undoes_id)
        .where(Change.feature_id == feature_id, Change.undoes_id.is_not(None))
        .order_by(Change.id.desc())
    )
    out: set[int] = set()
    for change_id, undoes_id in undos:
        if change_id not in out and undoes_id is not None:
            out.add(undoes_id)
    return out


def undo_change(
    session: Session, write: FeatureWrite, change_id: int, reason: str | None = None
) -> Change:
    """Restore what was before an entry, by a new one: who made it may, and editors."""
    change = session.get(Change, change_id)
    if change is None or change.feature_id != write.feature_id:
        raise NotFoundError(f"This feature's history has no entry {change_id}.")
    if change.account_id != write.actor.account_id and not write.actor.may("editor"):
        raise ForbiddenError(
            f"Entry {change_id} is another person's; they or an editor can undo it."
        )
    root = _root(session, change)
    if root.kind == "pin":
        write.actor.require("editor")
    _refuse_if_rested_upon(session, change)
    _RESTORE[root.kind](session, write, root, change.before)
    return record(
        session,
        write,
        Said(
            kind="undo",
            slot=change.slot,
            rests=change.rests,
            before=change.after,
            after=change.before,
            reason=reason,
            undoes_id=change.id,
            settles=True,
        ),
    )


def _root(session: Session, change: Change) -> Change:
    """Return what an undo, or the undo of an undo, is about in the end."""
    while change.undoes_id is not None:
        change = session.get_one(Change, change.undoes_id)
    return change


def _refuse_if_rested_upon(session: Session, change: Change) -> None:
    out = out_of_force(session, change.feature_id)
    if change.id in out:
        raise ConflictError(f"Entry {change.id} is undone already.")
    later = session.scalars(
        select(Change)
        .where(
            Change.feature_id == change.feature_id,
            Change.id > change.id,
            # An undo and what it undoes leave things as they were.
            Change.undoes_id.is_(None),
            (Change.slot == change.slot) | (literal(change.slot) == any_(Change.rests)),
        )
        .order_by(Change.id)
    )
    resting = [entry for entry in later if entry.id not in out]
    if resting:
        views = changes_as_views(session, resting, out)
        named = "; ".join(
            f"{view.kind.replace('_', ' ')} by {view.author} (entry {view.id})"
            for view in views[:5]
        )
        more = f" and {len(views) - 5} more" if len(views) > 5 else ""
        raise ConflictError(
            f"Entry {change.id} cannot be undone, since later ones rest on it: {named}{more}. "
            "Undo these first."
        )


_Restore = Callable[[Session, FeatureWrite, Change, Any], None]


def _restore_review(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    _, label_id, account_id = change.slot.split(":")
    label = find_label(session, write.feature_id, int(label_id))
    verdict: Any = to["verdict"] if to else "withdrawn"
    reason = to["reason"] if to else None
    add_review(session, write, label, verdict, reason, account_id=int(account_id))
    closed = (change.after or {}).get("closed")
    if closed:
        again = func.now() if to and to.get("closed") else None
        session.execute(
            update(SecondOpinion).where(SecondOpinion.id.in_(closed)).values(closed_at=again)
        )


def _restore_proposal(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    """A proposal that nobody stands by is none any more; its words stay."""
    label = find_label(session, write.feature_id, int(change.slot.split(":")[1]))
    stands = bool(to) and to["label_id"] == label.id
    verdict: Any = "accept" if stands else "withdrawn"
    add_review(session, write, label, verdict, None, account_id=change.account_id)


def _restore_pin(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    sense_id = int(change.slot.split(":")[1]) or None
    add_pin(session, write, sense_id, to["label_id"] if to else None, None)


def _restore_opinion(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    closed_at = None if to else func.now()
    session.execute(
        update(SecondOpinion)
        .where(SecondOpinion.id == int(change.slot.split(":")[1]))
        .values(closed_at=closed_at)
    )


def _restore_comment(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    add_version(session, write, int(change.slot.split(":")[1]), to["text"] if to else None)


def _restore_tag(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    put_tag(session, write, int(change.slot.split(":")[1]), present=to is not None)


def _restore_mark(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    run_id, position, context_id = map(int, change.slot.split(":")[1:])
    put_mark(session, write, run_id, position, context_id, off=to is not None)


def _restore_grouping(session: Session, write: FeatureWrite, change: Change, to: Any) -> None:
    run_id = int(change.slot.split(":")[1])
    choose_grouping(session, write, run_id, to["labeling_id"] if to else None)


_RESTORE: Final[dict[str, _Restore]] = {
    "review": _restore_review,
    "propose": _restore_proposal,
    "pin": _restore_pin,
    "second_opinion": _restore_opinion,
    "comment": _restore_comment,
    "tag": _restore_tag,
    "example": _restore_mark,
    "grouping": _restore_grouping,
}
