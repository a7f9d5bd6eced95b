"""The discussion of a feature: flat, with mentions; an edit is a new version, nothing is lost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session, aliased

from scopebook.db.account_tables import Account
from scopebook.db.review_tables import Change, Comment, CommentVersion, Mention
from scopebook.errors import ConflictError, ForbiddenError, NotFoundError
from scopebook.feature_writes import FeatureWrite, Said, needed, record
from scopebook.paging import decode_cursor, encode_cursor

LONGEST: Final = 10_000
#: `@ada`, also at the end of a sentence; an address like `me@ada.org` is none.
_MENTION: Final = re.compile(r"(?<![\w@.])@([\w][\w.-]*)")


@dataclass(frozen=True, kw_only=True)
class CommentView:
    """A comment as it is now; without a text it was taken away."""

    id: int
    feature_id: int
    author: str
    text: str | None
    #: Names of those it speaks to.
    mentions: list[str]
    #: 1: as it was written.
    version: int
    created_at: datetime
    edited_at: datetime | None


def add_comment(session: Session, write: FeatureWrite, text: str) -> Change:
    """Add to the discussion."""
    text = needed(text, "comment", longest=LONGEST)
    comment = Comment(feature_id=write.feature_id, account_id=write.actor.account_id)
    session.add(comment)
    session.flush()
    add_version(session, write, comment.id, text)
    return record(
        session,
        write,
        Said(kind="comment", slot=f"comment:{comment.id}", after={"text": text}),
    )


def edit_comment(
    session: Session, write: FeatureWrite, comment_id: int, text: str | None
) -> Change:
    """Let a comment say something else, or take it away: its author may, and editors."""
    comment = session.get(Comment, comment_id)
    if comment is None or comment.feature_id != write.feature_id:
        raise NotFoundError(f"This feature has no comment {comment_id}.")
    own = comment.account_id == write.actor.account_id
    if not own and (text is not None or not write.actor.may("editor")):
        raise ForbiddenError(
            f"Comment {comment_id} is another person's: they can change it, and an editor can "
            "take it away."
        )
    text = None if text is None else needed(text, "comment", longest=LONGEST)
    before = _newest(session, comment_id).text
    if before == text:
        raise ConflictError(f"Comment {comment_id} says so already; nothing was changed.")
    add_version(session, write, comment_id, text)
    return record(
        session,
        write,
        Said(
            kind="comment",
            slot=f"comment:{comment_id}",
            before=None if before is None else {"text": before},
            after=None if text is None else {"text": text},
        ),
    )


def _newest(session: Session, comment_id: int) -> CommentVersion:
    return session.scalars(
        select(CommentVersion)
        .where(CommentVersion.comment_id == comment_id)
        .order_by(CommentVersion.number.desc())
        .limit(1)
    ).one()


def add_version(session: Session, write: FeatureWrite, comment_id: int, text: str | None) -> None:
    """Add what a comment says from now on, and note whom it speaks to."""
    number = session.scalar(
        select(func.coalesce(func.max(CommentVersion.number), 0)).where(
            CommentVersion.comment_id == comment_id
        )
    )
    session.add(
        CommentVersion(
            comment_id=comment_id,
            number=(number or 0) + 1,
            text=text,
            account_id=write.actor.account_id,
        )
    )
    session.flush()
    for account_id in mentioned(session, text or ""):
        session.execute(
            insert(Mention)
            .values(comment_id=comment_id, account_id=account_id)
            .on_conflict_do_nothing()
        )


def mentioned(session: Session, text: str) -> list[int]:
    """Return the accounts that a text names by `@name`; capitals make no difference."""
    names = {name.lower().rstrip(".-") for name in _MENTION.findall(text)}
    if not names:
        return []
    return list(
        session.scalars(
            select(Account.id).where(func.lower(Account.name).in_(names)).order_by(Account.id)
        )
    )


def comments_of(session: Session, feature_id: int) -> list[CommentView]:
    """Return the discussion of a feature, the oldest contribution first."""
    ids = session.scalars(select(Comment.id).where(Comment.feature_id == feature_id))
    return sorted(read_comments(session, list(ids)), key=lambda comment: comment.id)


def read_comments(session: Session, comment_ids: Sequence[int]) -> list[CommentView]:
    """Return comments as they are now, the newest first."""
    newest = (
        select(CommentVersion)
        .where(CommentVersion.comment_id.in_(comment_ids))
        .ext(distinct_on(CommentVersion.comment_id))
        .order_by(CommentVersion.comment_id, CommentVersion.number.desc())
        .subquery()
    )
    version = aliased(CommentVersion, newest)
    rows = session.execute(
        select(Comment, Account.name, version)
        .join(Account, Account.id == Comment.account_id)
        .join(version, version.comment_id == Comment.id)
        .order_by(Comment.id.desc())
    ).all()
    spoken_to = _mentions(session, comment_ids)
    return [
        CommentView(
            id=comment.id,
            feature_id=comment.feature_id,
            author=name,
            text=said.text,
            mentions=spoken_to.get(comment.id, []) if said.text is not None else [],
            version=said.number,
            created_at=comment.created_at,
            edited_at=said.created_at if said.number > 1 else None,
        )
        for comment, name, said in rows
    ]


def _mentions(session: Session, comment_ids: Sequence[int]) -> dict[int, list[str]]:
    rows = session.execute(
        select(Mention.comment_id, Account.name)
        .join(Account, Account.id == Mention.account_id)
        .where(Mention.comment_id.in_(comment_ids))
        .order_by(Account.name)
    )
    found: dict[int, list[str]] = {}
    for comment_id, name in rows:
        found.setdefault(comment_id, []).append(name)
    return found


def comments_for(
    session: Session, account_id: int, *, limit: int, cursor: str | None = None
) -> tuple[list[CommentView], str | None]:
    """Return comments of others that speak to an account, the newest first."""
    statement = (
        select(Mention.comment_id)
        .join(Comment, Comment.id == Mention.comment_id)
        .where(Mention.account_id == account_id, Comment.account_id != account_id)
        .order_by(Mention.comment_id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        statement = statement.where(Mention.comment_id < decode_cursor(cursor, [int])[0])
    ids = session.scalars(statement).all()
    following = encode_cursor([ids[limit - 1]]) if len(ids) > limit else None
    return read_comments(session, ids[:limit]), following
