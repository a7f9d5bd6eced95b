"""Lists of features that people put together, and searches that they keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.account_tables import Account
from scopebook.db.list_tables import FeatureList, FeatureListItem
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.feature_views import FeatureInList
from scopebook.features import features_by_id, find_feature
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.release_names import parse_feature_id

LONGEST_NAME: Final = 200
#: Features that one call may add.
MOST_AT_ONCE: Final = 1_000
#: Items are put so far apart; a place between two can be halved fifty times.
_STEP: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class ListView:
    """A list without its items."""

    id: int
    name: str
    description: str
    owner: str
    shared: bool
    #: Parameters of the search that it keeps; None: none.
    search: dict[str, Any] | None
    features: int
    version: int
    #: Whether who asks may change it.
    mine: bool
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, kw_only=True)
class ItemView:
    """A feature in a list, in its place."""

    feature: FeatureInList
    note: str
    added_by: str
    added_at: datetime


@dataclass(frozen=True, kw_only=True)
class Membership:
    """That a list has a feature."""

    list: ListView
    note: str
    added_at: datetime


@dataclass(frozen=True, kw_only=True)
class Addition:
    """How many features came into a list; those that were there already stay where they are."""

    added: int
    present: int


def list_lists(
    session: Session, actor: Actor, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[ListView], str | None]:
    """Return one's own lists and those that are shared, the newest first."""
    statement = _described().where(seen_by(actor)).order_by(FeatureList.id.desc())
    if cursor is not None:
        statement = statement.where(FeatureList.id < decode_cursor(cursor, [int])[0])
    rows = session.execute(statement.limit(limit + 1)).all()
    following = encode_cursor([rows[limit - 1].FeatureList.id]) if len(rows) > limit else None
    return [_view(row, actor) for row in rows[:limit]], following


def read_list(session: Session, actor: Actor, list_id: int) -> ListView:
    """Return a list that one may see."""
    row = session.execute(
        _described().where(FeatureList.id == list_id, seen_by(actor))
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no list {list_id}, or it is not shared with you.")
    return _view(row, actor)


def create_list(
    session: Session,
    actor: Actor,
    name: str,
    *,
    description: str = "",
    shared: bool = False,
    search: Mapping[str, Any] | None = None,
    features: Sequence[str] = (),
) -> ListView:
    """Add a list of one's own."""
    row = FeatureList(
        owner_id=actor.account_id,
        name=_clean_name(name),
        description=description,
        shared=shared,
        search=None if search is None else dict(search),
    )
    session.add(row)
    session.flush()
    if features:
        add_features(session, actor, row.id, features)
    return read_list(session, actor, row.id)


def change_list(
    session: Session, actor: Actor, list_id: int, version: int, changes: Mapping[str, Any]
) -> ListView:
    """Change the name, description, sharing or search of a list as it was read."""
    row = _own(session, actor, list_id)
    if row.version != version:
        raise ConflictError(
            f"The list {row.name!r} was changed since you read it (version {version}, now "
            f"{row.version}); read it again, then change it. Nothing was written."
        )
    for column, value in changes.items():
        setattr(row, column, _clean_name(value) if column == "name" else value)
    row.version += 1
    row.changed_at = func.now()
    session.flush()
    return read_list(session, actor, list_id)


def delete_list(session: Session, actor: Actor, list_id: int) -> None:
    """Remove a list; its features stay what they are."""
    session.delete(_own(session, actor, list_id))


def read_items(
    session: Session, actor: Actor, list_id: int, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[ItemView], str | None]:
    """Return the features of a list in their order."""
    read_list(session, actor, list_id)
    item = FeatureListItem
    statement = _items_of(list_id).order_by(item.place, item.feature_id)
    if cursor is not None:
        place, last = decode_cursor(cursor, [float, int])
        statement = statement.where(
            or_(item.place > place, (item.place == place) & (item.feature_id > last))
        )
    rows = session.execute(statement.limit(limit + 1)).all()
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        last_item = page[-1].FeatureListItem
        following = encode_cursor([last_item.place, last_item.feature_id])
    return _item_views(session, page), following


def read_item(session: Session, actor: Actor, list_id: int, feature: str) -> ItemView:
    """Return one feature of a list."""
    read_list(session, actor, list_id)
    feature_id = find_feature(session, parse_feature_id(feature, any_index=True))
    statement = _items_of(list_id).where(FeatureListItem.feature_id == feature_id)
    found = _item_views(session, session.execute(statement).all())
    if not found:
        raise NotFoundError(f"The list {list_id} does not have the feature {feature}.")
    return found[0]


def lists_with(session: Session, actor: Actor, feature_id: int) -> list[Membership]:
    """Return the lists that have a feature, of those that one may see, the oldest first."""
    item = FeatureListItem
    rows = session.execute(
        _described()
        .join(item, item.list_id == FeatureList.id)
        .add_columns(item.note, item.added_at)
        .where(item.feature_id == feature_id, seen_by(actor))
        .order_by(FeatureList.id)
    )
    return [
        Membership(list=_view(row, actor), note=row.note, added_at=row.added_at) for row in rows
    ]


def _items_of(list_id: int) -> Select[FeatureListItem, str]:
    return (
        select(FeatureListItem, Account.name)
        .join(Account, Account.id == FeatureListItem.added_by)
        .where(FeatureListItem.list_id == list_id)
    )


def _item_views(session: Session, rows: Sequence[Any]) -> list[ItemView]:
    """Return items with their features; those of hidden releases are left out."""
    found = features_by_id(session, [row.FeatureListItem.feature_id for row in rows])
    features = {feature.feature_id: feature for feature in found}
    return [
        ItemView(
            feature=features[row.FeatureListItem.feature_id],
            note=row.FeatureListItem.note,
            added_by=row.name,
            added_at=row.FeatureListItem.added_at,
        )
        for row in rows
        if row.FeatureListItem.feature_id in features
    ]


def add_features(
    session: Session,
    actor: Actor,
    list_id: int,
    features: Sequence[str],
    *,
    note: str = "",
    notes: Mapping[str, str] | None = None,
) -> Addition:
    """Put features at the end of a list, in the given order; those that it has stay in place.

    Each comes with its own of the `notes`, by the feature as it is named, or else with the `note`.
    """
    if len(features) > MOST_AT_ONCE:
        raise InvalidInputError(
            f"{len(features):,} features are too many at once; add at most {MOST_AT_ONCE:,}."
        )
    _own(session, actor, list_id)
    ids = {
        one: find_feature(session, parse_feature_id(one, any_index=True))
        for one in dict.fromkeys(features)
    }
    notes_by_id = {ids[name]: text for name, text in (notes or {}).items() if name in ids}
    last = session.execute(
        select(func.coalesce(func.max(FeatureListItem.place), 0.0)).where(
            FeatureListItem.list_id == list_id
        )
    ).scalar_one()
    rows = [
        {
            "list_id": list_id,
            "feature_id": feature_id,
            "place": last + _STEP * place,
            "note": notes_by_id.get(feature_id, note),
            "added_by": actor.account_id,
        }
        for place, feature_id in enumerate(dict.fromkeys(ids.values()), start=1)
    ]
    added = 0
    if rows:
        statement = insert(FeatureListItem).on_conflict_do_nothing()
        added = len(
            session.execute(statement.returning(FeatureListItem.feature_id), rows).scalars().all()
        )
    return Addition(added=added, present=len(rows) - added)


def remove_feature(session: Session, actor: Actor, list_id: int, feature: str) -> None:
    """Take a feature out of a list."""
    session.delete(_item(session, actor, list_id, feature))


def move_feature(
    session: Session, actor: Actor, list_id: int, feature: str, *, after: str | None
) -> None:
    """Put a feature behind another one of the list; `after` None: first."""
    moved = _item(session, actor, list_id, feature)
    before = None if after is None else _item(session, actor, list_id, after)
    if before is moved:
        return
    item = FeatureListItem
    others = select(item.place).where(item.list_id == list_id, item.feature_id != moved.feature_id)
    if before is None:
        first = session.scalar(others.order_by(item.place).limit(1))
        moved.place = 0.0 if first is None else first - _STEP
        return
    behind = session.scalar(others.where(item.place > before.place).order_by(item.place).limit(1))
    moved.place = before.place + _STEP if behind is None else (before.place + behind) / 2


def note_feature(session: Session, actor: Actor, list_id: int, feature: str, note: str) -> None:
    """Say beside a feature why it is in the list."""
    _item(session, actor, list_id, feature).note = note


def _item(session: Session, actor: Actor, list_id: int, feature: str) -> FeatureListItem:
    _own(session, actor, list_id)
    feature_id = find_feature(session, parse_feature_id(feature, any_index=True))
    item = session.get(FeatureListItem, (list_id, feature_id))
    if item is None:
        raise NotFoundError(f"The list {list_id} does not have the feature {feature}.")
    return item


def _own(session: Session, actor: Actor, list_id: int) -> FeatureList:
    """Return a list that one may change, locked, so that two changes of it do not meet."""
    row = session.scalar(
        select(FeatureList).where(FeatureList.id == list_id, seen_by(actor)).with_for_update()
    )
    if row is None:
        raise NotFoundError(f"There is no list {list_id}, or it is not shared with you.")
    if not _may_change(row, actor):
        raise ForbiddenError(
            f"The list {row.name!r} is somebody else's; make one of your own, or ask an editor."
        )
    return row


def _may_change(row: FeatureList, actor: Actor) -> bool:
    return row.owner_id == actor.account_id or actor.may("editor")


def seen_by(actor: Actor) -> ColumnElement[bool]:
    """Return which lists one may see; admins those of imported authors, which nobody else could."""
    seen = or_(FeatureList.shared, FeatureList.owner_id == actor.account_id)
    if not actor.may("admin"):
        return seen
    imported = select(Account.id).where(Account.imported_name.is_not(None))
    return or_(seen, FeatureList.owner_id.in_(imported))


def _described() -> Select[Any]:
    features = (
        select(func.count())
        .where(FeatureListItem.list_id == FeatureList.id)
        .correlate(FeatureList)
        .scalar_subquery()
    )
    return select(FeatureList, Account.name.label("owner"), features.label("features")).join(
        Account, Account.id == FeatureList.owner_id
    )


def _view(row: Any, actor: Actor) -> ListView:
    found: FeatureList = row.FeatureList
    return ListView(
        id=found.id,
        name=found.name,
        description=found.description,
        owner=row.owner,
        shared=found.shared,
        search=found.search,
        features=row.features,
        version=found.version,
        mine=_may_change(found, actor),
        created_at=found.created_at,
        changed_at=found.changed_at,
    )


def _clean_name(name: str) -> str:
    clean = " ".join(name.split())
    if not clean or len(clean) > LONGEST_NAME:
        raise InvalidInputError(
            f"A list needs a name of 1 to {LONGEST_NAME} characters, and {name[:20]!r} has "
            f"{len(clean)}; give one that says what its features have in common."
        )
    return clean
