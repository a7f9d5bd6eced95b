"""Events for webhooks, written in the transaction in which they happen.

So an event is told if and only if what it tells of is committed, whoever dies in between;
`scopebook.deliveries` sends what is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from scopebook.accounts import actor_of
from scopebook.db.account_tables import Account
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, Sense
from scopebook.db.tables import FEATURE_BITS, Corpus, Release, Run, Sae, Tokenisation
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.feature_names import names_of
from scopebook.label_rule import clauses_of
from scopebook.visibility import hidden_from

Event = Literal["label.accepted", "run.ended"]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)
#: Clauses of the rule by which people have decided.
_BY_PEOPLE: Final = ("accepted", "pinned")


@dataclass(frozen=True)
class Accepted:
    """Labels of one feature that are in force because people decided so, by their ids."""

    label_ids: frozenset[int]


def accepted_before(session: Session, feature_id: int) -> Accepted | None:
    """Return which labels are accepted before a write; None where nobody wants to know."""
    if not _listening(session, "label.accepted"):
        return None
    return Accepted(frozenset(_accepted(session, feature_id)))


def tell_accepted(session: Session, feature_id: int, before: Accepted, *, by: str) -> None:
    """Add an event for each label that a write has made an accepted one."""
    clauses = _accepted(session, feature_id)
    new = sorted(clauses.keys() - before.label_ids)
    if not new:
        return
    release_id = session.scalars(
        select(Sae.release_id).where(Sae.id == feature_id >> FEATURE_BITS)
    ).one()
    feature = names_of(session, [feature_id]).get(feature_id)
    rows = session.execute(
        select(Label, Sense.ordinal)
        .outerjoin(Sense, Sense.id == Label.sense_id)
        .where(Label.id.in_(new))
        .order_by(Label.id)
    )
    for label, sense in rows:
        told = {
            "feature": feature,
            "sense": sense,
            "label": {
                "id": label.id,
                "text": label.text,
                "description": label.description,
                "source": label.source,
                "method": label.method,
                "author": label.author,
            },
            "clause": clauses[label.id],
            "by": by,
        }
        _tell(session, "label.accepted", [release_id], told)


def tell_ended(session: Session, job: Job) -> None:
    """Add an event for each run of a job that has just ended: done, failed or cancelled."""
    if not _listening(session, "run.ended"):
        return
    rows = session.execute(
        select(Run.id, Run.layers, Run.release_id, Release.name, Corpus.name.label("corpus"))
        .join(Release, Release.id == Run.release_id)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .join(Corpus, Corpus.id == Tokenisation.corpus_id)
        .where(Run.job_id == job.id)
        .order_by(Run.id)
    ).all()
    for row in rows:
        told = {
            "run": row.id,
            "job": job.id,
            "state": job.state,
            "error": job.error,
            "release": row.name,
            "corpus": row.corpus,
            "layers": row.layers,
        }
        _tell(session, "run.ended", [row.release_id], told)


def _accepted(session: Session, feature_id: int) -> dict[int, str]:
    clauses = clauses_of(session, feature_id)
    return {label: clause for label, clause in clauses.items() if clause in _BY_PEOPLE}


def _listening(session: Session, event: Event) -> bool:
    wanted = select(Webhook.id).where(Webhook.events.contains([event])).limit(1)
    return session.scalar(wanted) is not None


def _tell(session: Session, event: Event, release_ids: Sequence[int], told: dict[str, Any]) -> None:
    """Add a delivery for each webhook whose owner may have one by now, and sees the release."""
    rows = session.execute(
        select(Webhook.id, Account)
        .join(Account, Account.id == Webhook.account_id)
        .where(Webhook.events.contains([event]), Account.disabled_at.is_(None))
        .order_by(Webhook.id)
    ).all()
    to = []
    for webhook_id, account in rows:
        owner = actor_of(account, "machine")
        hidden = hidden_from(session, owner)
        if owner.may("editor") and not (hidden and set(release_ids) & set(hidden.releases)):
            to.append(webhook_id)
    if to:
        session.execute(
            insert(WebhookDelivery),
            [{"webhook_id": webhook_id, "event": event, "payload": told} for webhook_id in to],
        )
