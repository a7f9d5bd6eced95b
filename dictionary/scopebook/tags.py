"""The team's vocabulary of tags, and which tags features have."""

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.account_tables import Account
from scopebook.db.review_tables import Change, FeatureTag, Tag
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.feature_writes import FeatureWrite, Said, record, sentence

#: Letters of any script, figures, and single marks between them.
_NAME: Final = re.compile(r"[^\W_]+(?:[-_./ ][^\W_]+)*")
_LONGEST_NAME: Final = 40


#: Words that every dictionary begins with, and what they mean.
FIRST_WORDS: Final = {
    "safety": "What a deployed model should not do, or what guards against it.",
    "language": "A language, a script or a way of writing.",
    "style": "Register, tone, format.",
    "code": "Programming languages, markup and data.",
}


@dataclass(frozen=True, kw_only=True)
class TagView:
    """A word of the vocabulary; a retired one is not offered any more."""

    name: str
    description: str | None
    retired: bool
    features: int


@dataclass(frozen=True, kw_only=True)
class GivenTag:
    """A tag that a feature has, and who gave it."""

    name: str
    author: str


def list_tags(session: Session) -> list[TagView]:
    """Return the vocabulary by name, with how many features have each tag."""
    rows = session.execute(
        select(Tag, func.count(FeatureTag.feature_id))
        .outerjoin(FeatureTag, FeatureTag.tag_id == Tag.id)
        .group_by(Tag.id)
        .order_by(Tag.name)
    )
    return [
        TagView(
            name=tag.name,
            description=tag.description,
            retired=tag.retired_at is not None,
            features=features,
        )
        for tag, features in rows
    ]


def save_tag(
    session: Session, actor: Actor, name: str, *, description: str | None, retired: bool = False
) -> TagView:
    """Add a word to the vocabulary, describe it otherwise, or offer it no more."""
    actor.require("editor")
    name = name.strip().lower()
    if not is_name(name):
        raise InvalidInputError(
            f"{name!r} cannot be a tag: take up to {_LONGEST_NAME} letters and figures, with "
            "single spaces, hyphens, dots or slashes between them."
        )
    description = sentence(description, "description", longest=1000)
    retired_at = func.now() if retired else None
    values = {"description": description, "retired_at": retired_at}
    session.execute(
        insert(Tag)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[Tag.name], set_=values)
    )
    return next(tag for tag in list_tags(session) if tag.name == name)


def is_name(name: str) -> bool:
    """Tell whether a word may be a tag: as it is, in small letters."""
    return bool(_NAME.fullmatch(name)) and len(name) <= _LONGEST_NAME and name == name.lower()


def find_tag(session: Session, name: str) -> Tag:
    """Return a word of the vocabulary."""
    tag = session.scalar(select(Tag).where(Tag.name == name.strip().lower()))
    if tag is None:
        known = ", ".join(session.scalars(select(Tag.name).order_by(Tag.name)))
        raise NotFoundError(f"There is no tag {name!r}; there are {known}. An editor can add one.")
    return tag


def tag_feature(session: Session, write: FeatureWrite, name: str, *, present: bool) -> Change:
    """Give a feature a tag, or take it away."""
    tag = find_tag(session, name)
    if present and tag.retired_at is not None:
        raise ConflictError(f"The tag {tag.name} is not given any more; choose another one.")
    if put_tag(session, write, tag.id, present=present) == present:
        have = "has" if present else "does not have"
        raise ConflictError(f"The feature {have} the tag {tag.name} already.")
    return record(
        session,
        write,
        Said(
            kind="tag",
            slot=f"tag:{tag.id}",
            before={"tag": tag.name} if not present else None,
            after={"tag": tag.name} if present else None,
        ),
    )


def put_tag(session: Session, write: FeatureWrite, tag_id: int, *, present: bool) -> bool:
    """Make a feature have a tag or not; return whether it had it."""
    key = (write.feature_id, tag_id)
    given = session.get(FeatureTag, key, populate_existing=True)
    if given is not None and not present:
        session.delete(given)
    elif given is None and present:
        session.add(
            FeatureTag(
                feature_id=write.feature_id, tag_id=tag_id, account_id=write.actor.account_id
            )
        )
    session.flush()
    return given is not None


def tags_of(session: Session, feature_id: int) -> list[GivenTag]:
    """Return a feature's tags by name."""
    rows = session.execute(
        select(Tag.name, Account.name)
        .join(FeatureTag, FeatureTag.tag_id == Tag.id)
        .join(Account, Account.id == FeatureTag.account_id)
        .where(FeatureTag.feature_id == feature_id)
        .order_by(Tag.name)
    )
    return [GivenTag(name=name, author=author) for name, author in rows]
