"""The queue of reviews: hand each person the next most valuable feature, and nobody else the same.

A feature in hand is leased: by the database's clock, until some minutes after it was last asked
for. Its order is kept by `scopebook.queue_order`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.account_tables import Account
from scopebook.db.review_tables import FeatureTag, QueueEntry, QueueSkip
from scopebook.errors import NotFoundError
from scopebook.feature_writes import tell
from scopebook.releases import find_saes
from scopebook.tags import find_tag

LEASE_S: Final = 600
#: Of what waits; counting 786,432 entries would take longer than anybody looks at the number.
MOST_COUNTED: Final = 10_000
SKIP_S: Final = 24 * 3600
#: Entries of each SAE that are looked at, first few, then more; those in between are in hand.
_DEPTHS: Final = (16, 256, 20_000)

#: What each class of the order says to people.
WHY: Final = {
    4: "Somebody asks for a second opinion.",
    3: "People disagree, or a proposal waits for another's verdict.",
    2: "Nobody has said anything of its label; it is among those used most or scored worst.",
}


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A feature that a person has in hand."""

    feature_id: int
    priority: float
    why: str
    until: datetime


@dataclass(frozen=True, kw_only=True)
class QueueState:
    """How much there is to do, and what is in hand of whom."""

    second_opinions: int
    undecided: int
    unreviewed: int
    in_hand: dict[str, int]


#: Free for this person: in nobody's hand, not put aside, and nothing that they have said already.
_FREE: Final = """
q.open AND (q.leased_until IS NULL OR q.leased_until < clock_timestamp())
AND NOT EXISTS (SELECT FROM queue_skip k WHERE k.account_id = :account_id
                AND k.feature_id = q.feature_id AND k.until > now())
AND NOT EXISTS (SELECT FROM review r WHERE r.account_id = :account_id
                AND r.feature_id = q.feature_id AND r.verdict <> 'withdrawn')
AND NOT EXISTS (SELECT FROM second_opinion o WHERE o.account_id = :account_id
                AND o.feature_id = q.feature_id AND o.closed_at IS NULL)
"""

_BY_SAE: Final = f"""
    SELECT t.feature_id FROM unnest(CAST(:sae_ids AS int[])) AS s(id)
    CROSS JOIN LATERAL (
        SELECT q.feature_id, q.priority FROM queue_entry q
        WHERE q.sae_id = s.id AND {_FREE}
        ORDER BY q.priority DESC, q.feature_id LIMIT :depth) t
    ORDER BY t.priority DESC, t.feature_id LIMIT :depth
"""

_BY_TAG: Final = f"""
    SELECT q.feature_id FROM feature_tag f JOIN queue_entry q ON q.feature_id = f.feature_id
    WHERE f.tag_id = :tag_id AND q.sae_id = ANY(:sae_ids) AND {_FREE}
    ORDER BY q.priority DESC, q.feature_id LIMIT :depth
"""

#: The lock and the second look at the lease are what keeps two people from the same feature.
_TAKE: Final = """
UPDATE queue_entry SET leased_by = :account_id,
       leased_until = clock_timestamp() + make_interval(secs => :lease_s)
WHERE feature_id = (
    SELECT q.feature_id FROM queue_entry q
    WHERE q.feature_id IN (SELECT feature_id FROM (%s) AS top)
      AND q.open AND (q.leased_until IS NULL OR q.leased_until < clock_timestamp())
    ORDER BY q.priority DESC, q.feature_id LIMIT 1 FOR UPDATE OF q SKIP LOCKED)
RETURNING feature_id, priority, leased_until
"""


def next_feature(
    session: Session,
    actor: Actor,
    *,
    release: str | None = None,
    layers: Sequence[int] | None = None,
    tag: str | None = None,
    lease_s: int = LEASE_S,
) -> Lease | None:
    """Put the next feature into a person's hand: the one they have, else the most valuable."""
    actor.require("annotator")
    sae_ids = [sae.id for sae in find_saes(session, release=release, layers=layers)]
    tag_id = None if tag is None else find_tag(session, tag).id
    held = _renew(session, actor, sae_ids, tag_id, lease_s)
    if held is not None:
        return held
    take = text(_TAKE % (_BY_SAE if tag_id is None else _BY_TAG))
    values = {"account_id": actor.account_id, "sae_ids": sae_ids, "lease_s": lease_s}
    for depth in _DEPTHS:
        row = session.execute(take, values | {"depth": depth, "tag_id": tag_id}).one_or_none()
        if row is not None:
            tell(session, {"queue": True})
            return _lease(row.feature_id, row.priority, row.leased_until)
    return None


def _lease(feature_id: int, priority: float, until: datetime) -> Lease:
    return Lease(feature_id=feature_id, priority=priority, why=WHY[int(priority)], until=until)


def _renew(
    session: Session, actor: Actor, sae_ids: Sequence[int], tag_id: int | None, lease_s: int
) -> Lease | None:
    """Return what the person has in hand already, for some time more."""
    held = select(QueueEntry.feature_id).where(
        QueueEntry.leased_by == actor.account_id,
        QueueEntry.leased_until > func.clock_timestamp(),
        QueueEntry.open,
        QueueEntry.sae_id.in_(sae_ids),
    )
    if tag_id is not None:
        held = held.join(FeatureTag, FeatureTag.feature_id == QueueEntry.feature_id).where(
            FeatureTag.tag_id == tag_id
        )
    held = held.order_by(QueueEntry.priority.desc(), QueueEntry.feature_id).limit(1)
    until = func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s)
    row = session.execute(
        update(QueueEntry)
        .where(
            QueueEntry.feature_id.in_(held.with_for_update(of=QueueEntry)),
            QueueEntry.leased_by == actor.account_id,
        )
        .values(leased_until=until)
        .returning(QueueEntry.feature_id, QueueEntry.priority, QueueEntry.leased_until)
    ).one_or_none()
    return None if row is None else _lease(row.feature_id, row.priority, row.leased_until)


def release_feature(session: Session, actor: Actor, feature_id: int, *, skip: bool = False) -> None:
    """Give a feature out of hand; skipped, it is not handed to the same person for a day."""
    actor.require("annotator")
    given = session.execute(
        update(QueueEntry)
        .where(QueueEntry.feature_id == feature_id, QueueEntry.leased_by == actor.account_id)
        .values(leased_by=None, leased_until=None)
        .returning(QueueEntry.feature_id)
    ).one_or_none()
    if skip:
        _skip(session, actor, feature_id)
    elif given is None:
        raise NotFoundError("You do not have this feature in hand any more; ask for the next one.")
    tell(session, {"queue": True})


def _skip(session: Session, actor: Actor, feature_id: int) -> None:
    until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, SKIP_S)
    session.execute(
        delete(QueueSkip).where(
            QueueSkip.account_id == actor.account_id, QueueSkip.until < func.now()
        )
    )
    session.execute(
        insert(QueueSkip)
        .values(account_id=actor.account_id, feature_id=feature_id, until=until)
        .on_conflict_do_update(
            index_elements=[QueueSkip.account_id, QueueSkip.feature_id], set_={"until": until}
        )
    )


def queue_state(
    session: Session, *, release: str | None = None, layers: Sequence[int] | None = None
) -> QueueState:
    """Return how many features wait, each up to `MOST_COUNTED`, and how many are in whose hand."""
    sae_ids = [sae.id for sae in find_saes(session, release=release, layers=layers)]
    waiting = {
        4: QueueEntry.priority >= 4,
        3: QueueEntry.priority.between(3, 3.9999),
        2: QueueEntry.priority < 3,
    }
    counted = {
        group: session.execute(
            select(func.count()).select_from(
                select(QueueEntry.feature_id)
                .where(QueueEntry.open, QueueEntry.sae_id.in_(sae_ids), condition)
                .limit(MOST_COUNTED)
                .subquery()
            )
        ).scalar_one()
        for group, condition in waiting.items()
    }
    held = session.execute(
        select(Account.name, func.count().label("held"))
        .join(QueueEntry, QueueEntry.leased_by == Account.id)
        .where(QueueEntry.leased_until > func.clock_timestamp(), QueueEntry.sae_id.in_(sae_ids))
        .group_by(Account.name)
        .order_by(Account.name)
    )
    return QueueState(
        second_opinions=counted[4],
        undecided=counted[3],
        unreviewed=counted[2],
        in_hand={row.name: row.held for row in held},
    )
