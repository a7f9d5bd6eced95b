"""One action on many features: look at what it would do, do it, undo it as one.

A preview is kept with the version of each feature; features that somebody has changed since are
left out and named. All that is done stands in the features' own histories.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.label_tables import Label
from scopebook.db.review_tables import BulkAction, Change, FeatureVersion
from scopebook.db.tables import FEATURE_BITS, Feature
from scopebook.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from scopebook.feature_writes import FeatureWrite, open_write, version_of
from scopebook.histories import out_of_force, undo_change
from scopebook.labelings import lock_saes
from scopebook.reviews import ask_second_opinion, review_label
from scopebook.tags import find_tag, tag_feature

Kind = Literal["accept", "reject", "tag", "untag", "second_opinion"]
LARGEST: Final = 1000


@dataclass(frozen=True, kw_only=True)
class BulkItem:
    """What an action does to one feature; without a refusal it does it."""

    feature_id: int
    refusal: str | None


@dataclass(frozen=True, kw_only=True)
class BulkReport:
    """What an action on many features would do, did, or undid."""

    id: int
    token: str
    changes: int
    refused: int
    items: list[BulkItem]


def preview_bulk(
    session: Session, actor: Actor, feature_ids: Sequence[int], action: Mapping[str, Any]
) -> BulkReport:
    """Keep an action for later, and return what it would do: it is tried and taken back."""
    actor.require("annotator")
    wanted = sorted(set(feature_ids))
    if not 1 <= len(wanted) <= LARGEST:
        raise InvalidInputError(f"Name 1 to {LARGEST:,} features; {len(wanted):,} are named.")
    known = set(session.scalars(select(Feature.id).where(Feature.id.in_(wanted))))
    if len(known) < len(wanted):
        raise NotFoundError(f"{len(wanted) - len(known)} of the features named do not exist.")
    if action["kind"] in ("tag", "untag"):
        find_tag(session, action.get("tag") or "")
    bulk = BulkAction(
        token=secrets.token_urlsafe(24),
        account_id=actor.account_id,
        action=dict(action),
        features=[[feature_id, version_of(session, feature_id)] for feature_id in wanted],
    )
    session.add(bulk)
    session.flush()
    trial = session.begin_nested()
    items = _apply(session, actor, bulk)
    trial.rollback()
    session.expire_all()
    return _report(bulk, items)


def apply_bulk(session: Session, actor: Actor, token: str) -> BulkReport:
    """Do what was looked at, once; features that were changed since are left out."""
    bulk = _find(session, actor, BulkAction.token == token)
    if bulk.applied_at is not None:
        raise ConflictError("This was done already; undo it, or make another preview.")
    bulk.applied_at = func.now()
    return _report(bulk, _apply(session, actor, bulk))


def undo_bulk(session: Session, actor: Actor, bulk_id: int) -> BulkReport:
    """Undo all that an action did, but for what later changes rest on."""
    bulk = _find(session, actor, BulkAction.id == bulk_id)
    if bulk.applied_at is None or bulk.undone_at is not None:
        raise ConflictError("There is nothing to undo: it was not done, or is undone already.")
    bulk.undone_at = func.now()
    changes = session.scalars(
        select(Change)
        .where(Change.bulk_id == bulk.id, Change.undoes_id.is_(None))
        .order_by(Change.feature_id)
    ).all()
    lock_saes(session, [change.feature_id >> FEATURE_BITS for change in changes], shared=True)
    items = []
    for change in changes:
        write = open_write(session, actor, change.feature_id, None, bulk_id=bulk.id)
        if change.id not in out_of_force(session, change.feature_id):
            items.append(_try(session, write, partial(undo_change, change_id=change.id)))
    return _report(bulk, items)


def _find(session: Session, actor: Actor, condition: Any) -> BulkAction:
    bulk = session.scalar(select(BulkAction).where(condition).with_for_update())
    if bulk is None:
        raise NotFoundError("There is no such preview; make one first.")
    if bulk.account_id != actor.account_id and not actor.may("editor"):
        raise ForbiddenError("This is another person's; they or an editor can do that.")
    return bulk


def _apply(session: Session, actor: Actor, bulk: BulkAction) -> list[BulkItem]:
    act = _ACTIONS[bulk.action["kind"]]
    # All at once and first, so that a machine that waits to settle cannot come in between.
    lock_saes(session, [feature_id >> FEATURE_BITS for feature_id, _ in bulk.features], shared=True)
    now = _versions(session, [feature_id for feature_id, _ in bulk.features])
    items = []
    for feature_id, version in bulk.features:
        if now.get(feature_id, 0) != version:
            items.append(BulkItem(feature_id=feature_id, refusal="It was changed since."))
            continue
        write = open_write(session, actor, feature_id, None, bulk_id=bulk.id)
        if write.version != version:
            items.append(BulkItem(feature_id=feature_id, refusal="It was changed since."))
            continue
        items.append(_try(session, write, lambda s, w: act(s, w, bulk.action)))
    return items


def _versions(session: Session, feature_ids: Sequence[int]) -> dict[int, int]:
    rows = session.execute(
        select(FeatureVersion.feature_id, FeatureVersion.version).where(
            FeatureVersion.feature_id.in_(feature_ids)
        )
    )
    return {row.feature_id: row.version for row in rows}


def _try(
    session: Session, write: FeatureWrite, act: Callable[[Session, FeatureWrite], object]
) -> BulkItem:
    refusal = None
    try:
        with session.begin_nested():
            act(session, write)
    except (ConflictError, NotFoundError, ForbiddenError) as error:
        refusal = str(error)
    return BulkItem(feature_id=write.feature_id, refusal=refusal)


def _report(bulk: BulkAction, items: list[BulkItem]) -> BulkReport:
    refused = sum(item.refusal is not None for item in items)
    return BulkReport(
        id=bulk.id,
        token=bulk.token,
        changes=len(items) - refused,
        refused=refused,
        items=items,
    )


def _review(session: Session, write: FeatureWrite, action: Mapping[str, Any]) -> None:
    label_id = session.scalar(
        select(Label.id).where(
            Label.feature_id == write.feature_id, Label.current, Label.sense_id.is_(None)
        )
    )
    if label_id is None:
        raise NotFoundError("It has no label in force.")
    review_label(session, write, label_id, action["kind"], action.get("reason"))


def _tag(session: Session, write: FeatureWrite, action: Mapping[str, Any]) -> None:
    tag_feature(session, write, action["tag"], present=action["kind"] == "tag")


def _ask(session: Session, write: FeatureWrite, action: Mapping[str, Any]) -> None:
    ask_second_opinion(session, write, action.get("reason"))


_ACTIONS: Final[dict[str, Callable[[Session, FeatureWrite, Mapping[str, Any]], None]]] = {
    "accept": _review,
    "reject": _review,
    "tag": _tag,
    "untag": _tag,
    "second_opinion": _ask,
}
