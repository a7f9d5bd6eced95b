"""The sweep: looks for steps that are due and tells the workers, so that no notice is vital.

It also removes what is kept for a time only (`scopebook.retention`).
"""

import logging
import threading

from sqlalchemy.exc import InterfaceError, OperationalError

from scopebook import notices
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.due_steps import due_kinds
from scopebook.heartbeats import forget_dead_workers
from scopebook.idempotency import forget_old_answers
from scopebook.inference_queue import tidy_inferences
from scopebook.jobs import INFER
from scopebook.retention import Retention
from scopebook.steps import settle_cancelled
from scopebook.waking import MAX_NOTICES

log = logging.getLogger(__name__)


def sweep_once(factory: Sessions) -> dict[str, int]:
    """Send a notice for all that could be claimed now; return how many of each kind.

    Answers that were kept for a day (`scopebook.idempotency`) and old requests to run a model
    (`scopebook.inferences`) are removed.
    """
    with unit_of_work(factory) as session:
        settle_cancelled(session)
        forget_old_answers(session)
        forget_dead_workers(session)
        due = due_kinds(session, at_most=MAX_NOTICES)
        if tidy_inferences(session):
            due[INFER] = 1
    for kind, count in due.items():
        notices.send(kind, count)
    return due


def sweep(factory: Sessions, *, interval_s: float, stop: threading.Event) -> None:
    """Sweep until `stop` is set; a database that is away is waited for."""
    retention = Retention()
    while not stop.is_set():
        try:
            sweep_once(factory)
            retention.look(factory)
        except (OperationalError, InterfaceError) as error:
            log.warning("The sweep could not reach the database and tries again: %s", error)
        stop.wait(interval_s)
