"""Webhooks: who is told of which events, and how that went."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.addresses import look_up, parts_of
from scopebook.audit import record
from scopebook.db.account_tables import Account
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.outbox import EVENTS
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.settings import settings

#: Of one account.
MOST: Final = 50
_PREFIX: Final = "whsec_"


@dataclass(frozen=True, kw_only=True)
class WebhookView:
    """A webhook without its secret."""

    id: int
    url: str
    events: list[str]
    account: str
    created_at: datetime
    #: Deliveries that wait for their next attempt, and that were given up.
    waiting: int
    failed: int


@dataclass(frozen=True, kw_only=True)
class DeliveryView:
    """An event that a webhook was told, or is to be told."""

    id: int
    event: str
    state: str
    attempts: int
    #: When it is tried next; None: it is over.
    due_at: datetime | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


def add_webhook(
    session: Session, url: str, events: Sequence[str], *, by: Actor
) -> tuple[WebhookView, str]:
    """Let an address be told of events; return it with its secret, which is told only now."""
    by.require("editor")
    unknown = sorted(set(events) - set(EVENTS))
    if unknown or not events:
        raise InvalidInputError(
            f"{', '.join(unknown) or 'Nothing'} is no event; name some of {', '.join(EVENTS)}."
        )
    look_up(url, private=settings().webhooks_to_private)
    have = select(func.count()).where(Webhook.account_id == by.account_id)
    if session.scalar(have.select_from(Webhook)) >= MOST:  # type: ignore[operator]
        raise ConflictError(f"You have {MOST} webhooks, and more are not kept; remove one.")
    # In the form that libraries of the Standard Webhooks specification read.
    secret = _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    webhook = Webhook(account_id=by.account_id, url=url, events=sorted(set(events)), secret=secret)
    session.add(webhook)
    session.flush()
    record(session, by, "added a webhook", _host(url), webhook=webhook.id, events=webhook.events)
    [view] = [found for found in list_webhooks(session, by=by) if found.id == webhook.id]
    return view, secret


def list_webhooks(session: Session, *, by: Actor) -> list[WebhookView]:
    """Return one's own webhooks, or for an admin all, the newest first."""
    counted = func.count().filter
    state = WebhookDelivery.state
    statement = (
        select(
            Webhook,
            Account.name,
            counted(state == "waiting").label("waiting"),
            counted(state == "failed").label("failed"),
        )
        .join(Account, Account.id == Webhook.account_id)
        .outerjoin(WebhookDelivery, WebhookDelivery.webhook_id == Webhook.id)
        .group_by(Webhook.id, Account.name)
        .order_by(Webhook.id.desc())
    )
    if not by.may("admin"):
        statement = statement.where(Webhook.account_id == by.account_id)
    return [
        WebhookView(
            id=row.Webhook.id,
            url=row.Webhook.url,
            events=row.Webhook.events,
            account=row.name,
            created_at=row.Webhook.created_at,
            waiting=row.waiting,
            failed=row.failed,
        )
        for row in session.execute(statement)
    ]


def remove_webhook(session: Session, webhook_id: int, *, by: Actor) -> None:
    """Tell an address nothing any more; what waits for it is dropped."""
    webhook = _own(session, webhook_id, by)
    session.delete(webhook)
    record(session, by, "removed a webhook", _host(webhook.url), webhook=webhook_id)


def list_deliveries(
    session: Session, webhook_id: int, *, by: Actor, limit: int = 50, cursor: str | None = None
) -> tuple[list[DeliveryView], str | None]:
    """Return what a webhook was told, newest first, and the cursor of the next page or None."""
    _own(session, webhook_id, by)
    statement = (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id)
        .order_by(WebhookDelivery.id.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        (last,) = decode_cursor(cursor, (int,))
        statement = statement.where(WebhookDelivery.id < last)
    rows = list(session.scalars(statement))
    following = encode_cursor([rows[limit - 1].id]) if len(rows) > limit else None
    return [_view(row) for row in rows[:limit]], following


def send_again(session: Session, webhook_id: int, delivery_id: int, *, by: Actor) -> DeliveryView:
    """Send a delivery that was given up once more, from the first attempt on."""
    _own(session, webhook_id, by)
    row = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None or row.webhook_id != webhook_id:
        raise NotFoundError(
            f"Webhook {webhook_id} has no delivery {delivery_id}; its deliveries name those it has."
        )
    if row.state == "waiting":
        raise ConflictError(f"Delivery {delivery_id} waits to be sent already.")
    row.state, row.attempts, row.error, row.finished_at = "waiting", 0, None, None
    row.due_at = session.scalars(select(func.now())).one()
    session.flush()
    return _view(row)


def _own(session: Session, webhook_id: int, by: Actor) -> Webhook:
    found = session.get(Webhook, webhook_id)
    # Of another's webhook it is not even told that it is there.
    if found is None or not (by.may("admin") or found.account_id == by.account_id):
        raise NotFoundError(
            f"There is no webhook {webhook_id} of yours; `scopebook webhooks list` names all there "
            "are."
        )
    return found


def _host(url: str) -> str:
    """Return what may stand in a log: paths and queries of addresses may be secret."""
    return parts_of(url).hostname or ""


def _view(row: WebhookDelivery) -> DeliveryView:
    return DeliveryView(
        id=row.id,
        event=row.event,
        state=row.state,
        attempts=row.attempts,
        due_at=row.due_at if row.state == "waiting" else None,
        error=row.error,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
