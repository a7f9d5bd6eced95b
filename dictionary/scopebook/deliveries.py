"""Send what webhooks are to be told: signed, at least once, again where it does not arrive.

A delivery is taken for a while in one transaction, sent while none is open, and noted in another.
Who dies in between leaves it to be sent once more; receivers know it by its id.
"""

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from scopebook.addresses import look_up, parts_of
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.errors import InvalidInputError
from scopebook.settings import settings

log = logging.getLogger(__name__)

#: Seconds from a failed attempt to the next: 8 attempts within a day.
PAUSES_S: Final = (10, 60, 300, 1_800, 7_200, 21_600, 43_200)
#: Seconds that one wait for a receiver may take.
TIMEOUT_S: Final = 5.0
#: How long a delivery is another's while one process sends it.
_TAKEN_FOR: Final = timedelta(minutes=2)
#: Taken at once; of one webhook fewer, so that a slow receiver does not keep others waiting.
_AT_ONCE: Final = 20
_OF_ONE: Final = 5
_SENDERS: Final = 4
#: What is over is kept so long.
_KEPT_FOR: Final = timedelta(days=30)


@dataclass(frozen=True)
class Parcel:
    """A delivery that this process has taken."""

    delivery_id: int
    attempt: int
    url: str
    secret: str
    event: str
    payload: dict[str, Any]
    created_at: datetime

    def __repr__(self) -> str:
        """Say which one it is, and nothing secret."""
        return f"Parcel({self.delivery_id})"


def take_due(session: Session) -> list[Parcel]:
    """Take deliveries that are due; nobody else takes them for two minutes."""
    place = func.row_number().over(
        partition_by=WebhookDelivery.webhook_id, order_by=WebhookDelivery.id
    )
    due = (
        select(WebhookDelivery.id, place.label("place"))
        .where(WebhookDelivery.state == "waiting", WebhookDelivery.due_at <= func.now())
        .subquery()
    )
    ids = session.scalars(
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.id.in_(select(due.c.id).where(due.c.place <= _OF_ONE)),
            # Again, since another process may have taken it before the lock.
            WebhookDelivery.due_at <= func.now(),
        )
        .order_by(WebhookDelivery.id)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids))
        .values(attempts=WebhookDelivery.attempts + 1, due_at=func.now() + _TAKEN_FOR)
    )
    rows = session.execute(
        select(WebhookDelivery, Webhook.url, Webhook.secret)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.id.in_(ids))
        .order_by(WebhookDelivery.id)
        .execution_options(populate_existing=True)
    )
    return [
        Parcel(row.id, row.attempts, url, secret, row.event, row.payload, row.created_at)
        for row, url, secret in rows
    ]


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64, as Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def send(parcel: Parcel) -> str | None:
    """Send a delivery; return None if it arrived, else why it did not, in one sentence."""
    name = f"delivery_{parcel.delivery_id}"
    body = json.dumps(
        {
            "id": name,
            "type": parcel.event,
            "timestamp": parcel.created_at.isoformat(),
            "data": parcel.payload,
        },
        ensure_ascii=False,
    ).encode()
    timestamp = str(int(datetime.now(UTC).timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Scopebook",
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(parcel.secret, name, timestamp, body),
    }
    try:
        status = _post(parcel.url, headers, body)
    except InvalidInputError as error:
        return str(error)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return f"The receiver did not answer ({type(error).__name__})."
    return None if 200 <= status < 300 else f"The receiver answered {status}, and not 2xx."


def _post(url: str, headers: dict[str, str], body: bytes) -> int:
    """Return the status of an answer; the request goes to the address that was looked at."""
    target = look_up(url, private=settings().webhooks_to_private)
    parts = parts_of(url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    # Neither redirects nor a proxy of the environment, which would look the name up themselves.
    with (
        httpx2.Client(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client,
        client.stream(
            "POST",
            httpx2.URL(url).copy_with(host=target.address, port=target.port, fragment=None),
            headers={**headers, "Host": f"{host}:{parts.port}" if parts.port else host},
            content=body,
            extensions={"sni_hostname": target.host},
        ) as answer,
    ):
        return answer.status_code


def note(session: Session, parcel: Parcel, error: str | None) -> None:
    """Keep what an attempt came to, unless another process has taken the delivery since."""
    values: dict[str, Any] = {"error": error}
    if error is None:
        values |= {"state": "sent", "finished_at": func.now()}
    elif parcel.attempt > len(PAUSES_S):
        values |= {"state": "failed", "finished_at": func.now()}
    else:
        pause = timedelta(seconds=PAUSES_S[parcel.attempt - 1])
        values |= {"due_at": func.now() + pause}
    session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == parcel.delivery_id,
            WebhookDelivery.attempts == parcel.attempt,
            WebhookDelivery.state == "waiting",
        )
        .values(**values)
    )


def forget_old(session: Session) -> None:
    """Drop deliveries that have been over for a month."""
    session.execute(
        delete(WebhookDelivery).where(
            WebhookDelivery.state != "waiting",
            WebhookDelivery.finished_at < func.now() - _KEPT_FOR,
        )
    )


def deliver_once(factory: Sessions) -> Sequence[Parcel]:
    """Send what is due, each delivery noted as soon as it is over; return what was tried."""
    with unit_of_work(factory) as session:
        forget_old(session)
        parcels = take_due(session)

    def deliver(parcel: Parcel) -> None:
        error = send(parcel)
        with unit_of_work(factory) as session:
            note(session, parcel, error)

    if parcels:
        with ThreadPoolExecutor(_SENDERS, thread_name_prefix="webhooks") as pool:
            list(pool.map(deliver, parcels))
    return parcels


def deliver_until(factory: Sessions, *, interval_s: float, stop: threading.Event) -> None:
    """Deliver until `stop` is set; a database that is away is waited for."""
    while not stop.is_set():
        try:
            if deliver_once(factory):
                continue
        except (OperationalError, InterfaceError) as error:
            log.warning("Webhooks could not reach the database, and try again: %s", error)
        stop.wait(interval_s)
