"""Write to a feature as a person: one at a time, upon what was read, and always on record.

Every write goes through `open_write`, which holds the feature and compares versions, and `record`,
which adds one entry to the history. So the number of entries is the number of writes, and nobody's
words are lost to somebody who had not read them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.review_tables import Change, FeatureVersion, QueueEntry
from scopebook.db.tables import FEATURE_BITS
from scopebook.errors import InvalidInputError, StaleError
from scopebook.labelings import lock_saes, settle_labels
from scopebook.outbox import Accepted, accepted_before, tell_accepted

#: Postgres's channel for what happens to features; delivered when the transaction commits.
CHANNEL: Final = "scopebook_live"


@dataclass(frozen=True, kw_only=True)
class FeatureWrite:
    """A feature that is held for one write."""

    feature_id: int
    actor: Actor
    #: What it was when it was held.
    version: int
    bulk_id: int | None = None
    #: Labels that people had accepted before; None: no webhook wants to know.
    accepted: Accepted | None = None

    @property
    def sae_id(self) -> int:
        """Return the feature's SAE."""
        return self.feature_id >> FEATURE_BITS


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a write has changed, as the history keeps it."""

    kind: str
    #: What it changed, and what it takes for granted besides.
    slot: str
    rests: Sequence[str] = ()
    before: Any = None
    after: Any = None
    reason: str | None = None
    undoes_id: int | None = None
    #: Whether it may put another label in force.
    settles: bool = False
    #: Whether it is a verdict on the feature as a whole: its turn in the queue is over then.
    ends_turn: bool = False


def version_of(session: Session, feature_id: int) -> int:
    """Return how often people have changed a feature."""
    found = session.get(FeatureVersion, feature_id, populate_existing=True)
    return 0 if found is None else found.version


def open_write(
    session: Session,
    actor: Actor,
    feature_id: int,
    expected: int | None,
    *,
    bulk_id: int | None = None,
) -> FeatureWrite:
    """Hold a feature until the end of the transaction; refuse where it is not as `expected`."""
    actor.require("annotator")
    # Before the row: who waits for a machine to settle must not keep others from their features.
    lock_saes(session, [feature_id >> FEATURE_BITS], shared=True)
    session.execute(insert(FeatureVersion).values(feature_id=feature_id).on_conflict_do_nothing())
    version = session.execute(
        select(FeatureVersion.version)
        .where(FeatureVersion.feature_id == feature_id)
        .with_for_update()
    ).scalar_one()
    if expected is not None and expected != version:
        raise StaleError(
            f"This feature is at version {version} and not {expected} any more: somebody has "
            "changed it meanwhile. Look at what they did, then send yours for that version.",
            feature_id,
        )
    return FeatureWrite(
        feature_id=feature_id,
        actor=actor,
        version=version,
        bulk_id=bulk_id,
        accepted=accepted_before(session, feature_id),
    )


def record(session: Session, write: FeatureWrite, said: Said) -> Change:
    """Add the write to the history, settle what is in force, and tell who is watching."""
    version = write.version + 1
    session.execute(
        update(FeatureVersion)
        .where(FeatureVersion.feature_id == write.feature_id)
        .values(version=version)
    )
    change = Change(
        feature_id=write.feature_id,
        version=version,
        account_id=write.actor.account_id,
        kind=said.kind,
        slot=said.slot,
        rests=list(said.rests),
        before=said.before,
        after=said.after,
        reason=said.reason,
        undoes_id=said.undoes_id,
        bulk_id=write.bulk_id,
    )
    session.add(change)
    session.flush()
    if said.ends_turn:
        _give_out_of_hand(session, write)
    if said.settles:
        settle_labels(session, [write.sae_id], [write.feature_id], by_person=True)
        if write.accepted is not None:
            tell_accepted(session, write.feature_id, write.accepted, by=write.actor.name)
    tell(session, {"feature": write.feature_id, "version": version, "kind": said.kind})
    return change


def _give_out_of_hand(session: Session, write: FeatureWrite) -> None:
    """End the writer's lease (`scopebook.review_queue`): what it was for is done."""
    session.execute(
        update(QueueEntry)
        .where(
            QueueEntry.feature_id == write.feature_id,
            QueueEntry.leased_by == write.actor.account_id,
        )
        .values(leased_by=None, leased_until=None)
    )


def tell(session: Session, news: dict[str, Any]) -> None:
    """Tell the listening API processes something when this transaction commits."""
    session.execute(select(func.pg_notify(CHANNEL, json.dumps(news))))


def sentence(words: str | None, name: str, *, longest: int) -> str | None:
    """Return a person's text without the space around it; None where nothing is left."""
    words = (words or "").strip()
    if len(words) > longest:
        raise InvalidInputError(
            f"The {name} has {len(words):,} characters, and {longest:,} are allowed; shorten it."
        )
    return words or None


def needed(words: str | None, name: str, *, longest: int) -> str:
    """Return a person's text without the space around it, of which something must be left."""
    found = sentence(words, name, longest=longest)
    if found is None:
        raise InvalidInputError(f"The {name} is empty; write some words.")
    return found
