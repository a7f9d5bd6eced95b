"""The post room: "look" messages to the workers, sent by name after a commit.

A notice carries no data and may be lost: the steps stand in Postgres, and the sweep sends a new
notice while one of them is due.
"""

import logging
from functools import cache
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from scopebook.brokers import SENDER_S, WORKER_S, transport_options
from scopebook.jobs import queue_of
from scopebook.settings import settings

log = logging.getLogger(__name__)

#: So many notices may wait in a queue; more would tell the workers nothing new, and a broker that
#: nobody reads from must not fill up.
MAX_WAITING = 32
_REQUESTED = "scopebook.notices"


def celery_options(*, patience_s: float = WORKER_S) -> dict[str, object]:
    """Return the Celery settings that senders and workers share."""
    broker_url = settings().broker_url
    return {
        "broker_url": broker_url,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # Acknowledged early: a lost worker's step comes back when its lease runs out, and no
        # visibility timeout of the broker can make a long step run twice.
        "task_acks_late": False,
        "task_create_missing_queues": True,
        "task_publish_retry": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A broker that answers no knock for so long is tried again.
        "broker_connection_timeout": min(patience_s, 5.0),
        "broker_transport_options": transport_options(broker_url, patience_s=patience_s),
    }


@cache
def _sender() -> Celery:
    # Not current: in a worker that is the worker's own application.
    app = Celery("scopebook", set_as_current=False)
    app.conf.update(celery_options(patience_s=SENDER_S))
    # Nobody would be there to answer a RabbitMQ's heartbeats; the kernel sees to it that it lives.
    app.conf.broker_heartbeat = 0
    return app


def request(session: Session, kind: str, count: int = 1) -> None:
    """Ask that at least `count` workers look for steps of `kind` once this session commits."""
    requested: dict[str, int] = session.info.setdefault(_REQUESTED, {})
    requested[kind] = max(requested.get(kind, 0), count)


def send_requested(session: Session) -> None:
    """Send what was asked for in a session that has committed."""
    for kind, count in session.info.pop(_REQUESTED, {}).items():
        send(kind, count)


def send(kind: str, count: int = 1) -> None:
    """Send `count` notices; a broker that is down is logged, since the sweep comes back to it."""
    if settings().broker_url is None:
        return
    try:
        _send(kind, count)
    except _failures() as error:
        log.warning("No notice for %s left: the broker does not answer (%s).", kind, error)


def _send(kind: str, count: int) -> None:
    try:
        # Kept ones: to connect costs as much of the processor as a claim does.
        pool: Any = _sender().pool
        with pool.acquire(block=True) as kept:
            _send_over(kept, kind, count)
    except _failures() as error:
        # It may have died while it lay idle.
        log.info("A connection to the broker is given up: %s", error)
        with _sender().connection_for_write() as fresh:
            _send_over(fresh, kind, count)


def _send_over(connection: Connection, kind: str, count: int) -> None:
    # Not kombu's six seconds of trying: a request waits for this, and the sweep comes back.
    connection.ensure_connection(max_retries=1, interval_start=0)
    if _waiting(connection, queue_of(kind)) < MAX_WAITING:
        for _ in range(count):
            _sender().send_task(kind, queue=queue_of(kind), connection=connection)


def _failures() -> tuple[type[BaseException], ...]:
    """Return what the client of the broker raises when that goes away, or refuses."""
    client = _sender().connection_for_write()
    return (OperationalError, OSError, *client.connection_errors, *client.channel_errors)


def _waiting(connection: Connection, queue: str) -> int:
    """Return how many notices nobody has taken yet; a queue that is not there yet is made."""
    # As Celery declares it: to ask for one that is not there would end a RabbitMQ's channel.
    channel: Any = connection.default_channel
    declared = channel.queue_declare(queue=queue, durable=True, auto_delete=False)
    return int(declared.message_count)
