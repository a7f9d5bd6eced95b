"""How long jobs were worked on: time in which they lay idle does not count."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Subquery, and_, case, extract, func, or_, select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Step


@dataclass(frozen=True, kw_only=True)
class WorkTime:
    """For how long at least one worker was at a job's steps, each in its latest attempt.

    In two parts, so that a report does not change while nothing but the clock moves.
    """

    #: Seconds before `since`.
    seconds: float = 0.0
    #: Since when somebody has been at it without a break; null: nobody is now.
    since: datetime | None = None


def read_work_times(session: Session, job_ids: Sequence[int]) -> dict[int, WorkTime]:
    """Return the work times of those jobs that anybody has begun."""
    islands = _islands(_spans(job_ids))
    length = extract("epoch", islands.c.ended - islands.c.begun)
    rows = session.execute(
        select(
            islands.c.job_id,
            func.coalesce(func.sum(length).filter(~islands.c.open), 0).label("seconds"),
            func.min(islands.c.begun).filter(islands.c.open).label("since"),
        ).group_by(islands.c.job_id)
    )
    return {
        row.job_id: WorkTime(seconds=round(float(row.seconds), 1), since=row.since) for row in rows
    }


def _spans(job_ids: Sequence[int]) -> Subquery:
    """Return from when to when each step was worked on; a worker that died, until its lease."""
    held = Step.state.in_(("running", "cancelling"))
    # A cancelled step that nobody was at has no attempt, or keeps the error of its last one.
    stopped = and_(Step.state == "cancelled", Step.attempt > 0, Step.error.is_(None))
    ended = case((held, func.least(func.now(), Step.lease_until)), else_=Step.finished_at)
    return (
        select(
            Step.job_id,
            Step.claimed_at.label("begun"),
            ended.label("ended"),
            and_(held, Step.lease_until > func.now()).label("open"),
        )
        .where(
            Step.job_id.in_(job_ids),
            or_(held, stopped, Step.state.in_(("done", "failed"))),
            ended > Step.claimed_at,
        )
        .subquery("spans")
    )


def _islands(spans: Subquery) -> Subquery:
    """Return the spans joined where they overlap."""
    in_order: dict[str, Any] = {
        "partition_by": spans.c.job_id,
        "order_by": (spans.c.begun, spans.c.ended),
    }
    before = func.max(spans.c.ended).over(**in_order, rows=(None, -1))
    marked = select(spans, case((spans.c.begun <= before, 0), else_=1).label("is_first")).subquery(
        "marked"
    )
    number = func.sum(marked.c.is_first).over(
        partition_by=marked.c.job_id,
        order_by=(marked.c.begun, marked.c.ended),
        rows=(None, 0),
    )
    numbered = select(marked, number.label("number")).subquery("numbered")
    return (
        select(
            numbered.c.job_id,
            func.min(numbered.c.begun).label("begun"),
            func.max(numbered.c.ended).label("ended"),
            func.bool_or(numbered.c.open).label("open"),
        )
        .group_by(numbered.c.job_id, numbered.c.number)
        .subquery("islands")
    )
