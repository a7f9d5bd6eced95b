"""What is kept for so many days only: scans that are over, and jobs of which nothing is left.

Deletions that have stopped halfway go on here, too.

The sweep carries it out, some at a time, so that it never holds much for long.
"""

import logging
import threading
import time
from typing import Any, Final

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.orm import Session

from scopebook.accounts import local_actor
from scopebook.db.jobs import Job, Step
from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Corpus
from scopebook.deletions import request_scan_deletion
from scopebook.errors import ConflictError, NotFoundError
from scopebook.heartbeats import add_sums
from scopebook.job_reports import OVER
from scopebook.jobs import DELETE_ROWS
from scopebook.jobs_under_way import DELETE_JOB
from scopebook.settings import settings
from scopebook.steps import retry_job

log = logging.getLogger(__name__)

#: Of each kind, removed in one look.
SOME: Final = 100
#: Seconds between two looks of one process: days are long.
EVERY_S: Final = 60.0
#: A deletion that has stopped goes on after so long, if nobody has done something about it.
PATIENCE_MIN: Final = 10


class Retention:
    """Looks for what is too old, once a minute at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0

    def look(self, factory: Sessions) -> None:
        """Remove some of what is too old, if a minute has gone since the last look."""
        with self._lock:
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + EVERY_S
        take_up_deletions(factory)
        remove_old(factory)


def take_up_deletions(factory: Sessions) -> None:
    """Go on with deletions that were cancelled halfway or have failed, since half is no state.

    One that was cancelled before a worker began with it is none: what it was to delete is free.
    """
    rows: Any = Step.__table__.c
    began = select(rows.id).where(
        rows.job_id == Job.id, rows.kind == DELETE_ROWS, rows.claimed_at.is_not(None)
    )
    left = select(rows.id).where(rows.job_id == Job.id, rows.state != "done")
    marked = [
        select(table.id).where(table.deletion_job_id == Job.id).exists()
        for table in (Corpus.__table__.c, Scan.__table__.c)
    ]
    with unit_of_work(factory) as session:
        stopped = session.execute(
            select(Job.id, Job.state, began.exists().label("began"))
            .where(
                Job.kind == DELETE_JOB,
                Job.state.in_(("cancelled", "failed")),
                Job.finished_at < func.now() - _minutes(PATIENCE_MIN),
                left.exists(),
                began.exists() | or_(*marked),
            )
            .with_for_update(skip_locked=True)
        ).all()
        for job in stopped:
            if job.state == "cancelled" and not job.began:
                for table in (Corpus, Scan):
                    session.execute(
                        update(table)
                        .where(table.deletion_job_id == job.id)
                        .values(deletion_job_id=None)
                    )
                log.info("Job %d deleted nothing yet when it was cancelled", job.id)
            else:
                retry_job(session, job.id)
                log.info("Deletion goes on with job %d, which was %s", job.id, job.state)


def remove_old(factory: Sessions) -> dict[str, int]:
    """Remove some of what is older than it may get; return how many of each kind."""
    chosen = settings()
    removed = {}
    if chosen.keep_scans_days:
        removed["scans"] = _remove_scans(factory, chosen.keep_scans_days)
    if chosen.keep_jobs_days:
        with unit_of_work(factory) as session:
            removed["jobs"] = _forget_jobs(session, chosen.keep_jobs_days)
            _count(session, "jobs", removed["jobs"])
    for kind, count in removed.items():
        if count:
            log.info("Removed %d %s that were too old", count, kind)
    return removed


def _count(session: Session, kind: str, count: int) -> None:
    if count:
        add_sums(session, {("retention_removed", (("kind", kind),)): float(count)})


def _remove_scans(factory: Sessions, days: int) -> int:
    with unit_of_work(factory) as session:
        old = session.scalars(
            select(Scan.id)
            .join(Job, Job.id == Scan.job_id)
            .where(
                Job.state.in_(OVER),
                Job.finished_at < func.now() - _days(days),
                Scan.deletion_job_id.is_(None),
            )
            .order_by(Scan.id)
            .limit(SOME)
        ).all()
    removed = 0
    for scan_id in old:
        try:
            with unit_of_work(factory) as session:
                request_scan_deletion(session, scan_id, by=local_actor(session))
                _count(session, "scans", 1)
        except (ConflictError, NotFoundError) as refusal:
            # In use, or another sweep was first: the next look finds it again, if it is there.
            log.info("Scan %d is kept for now: %s", scan_id, refusal)
        else:
            removed += 1
    return removed


#: Jobs that made something which is there are its history; the demo's says that it was built.
_FORGET: Final = """
DELETE FROM job WHERE id IN (
    SELECT j.id FROM job j
    WHERE j.state IN ('done', 'failed', 'cancelled') AND j.kind <> 'demo'
      AND j.finished_at < now() - make_interval(days => :days) AND {unused}
    ORDER BY j.id LIMIT :some FOR UPDATE SKIP LOCKED)
"""
_MADE: Final = ("run", "scan", "labeling", "label_score", "map", "preset_report", "preset_export")
_DELETING: Final = ("corpus", "scan")


def _forget_jobs(session: Session, days: int) -> int:
    unused = [
        *(f"NOT EXISTS (SELECT FROM {table} t WHERE t.job_id = j.id)" for table in _MADE),
        *(f"NOT EXISTS (SELECT FROM {table} t WHERE t.deletion_job_id = j.id)"
          for table in _DELETING),
    ]  # fmt: skip
    statement = text(_FORGET.format(unused=" AND ".join(unused)))
    gone: Any = session.execute(statement, {"days": days, "some": SOME})
    return int(gone.rowcount)


def _minutes(minutes: int) -> Any:
    return text("make_interval(mins => :mins)").bindparams(mins=minutes)


def _days(days: int) -> Any:
    return text("make_interval(days => :days)").bindparams(days=days)
