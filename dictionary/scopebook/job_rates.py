"""How fast collections read: tokens done, tokens in all, and a rate that survives pauses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Subquery, and_, case, extract, func, or_, select, text
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job, Step
from scopebook.jobs import READING

#: A running collection's rate is that of the last so many seconds.
WINDOW_S: Final = 120.0
#: Less time than this says nothing of a rate.
_ENOUGH_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How far and how fast a job's collections read."""

    tokens_done: int
    #: Estimated from the shards that are known as long as one has not told its size.
    tokens_total: int | None
    #: Of the last two minutes while it runs, of the whole once it is over; null: not known yet.
    tokens_per_s: float | None
    #: Until the last shard is read, at this rate.
    seconds_left: float | None


def read_rates(session: Session, job_ids: Sequence[int]) -> dict[int, Rate]:
    """Return the rates of those jobs that collect."""
    rows = session.execute(_amounts(job_ids)).all()
    running = [row.job_id for row in rows if row.open]
    over = [row.job_id for row in rows if not row.open]
    speeds = {**_speeds(session, running, recent=True), **_speeds(session, over, recent=False)}
    return {row.job_id: _rate(row, speeds.get(row.job_id)) for row in rows}


def _amounts(job_ids: Sequence[int]) -> Any:
    """Return the query for what is done and what there is; what is given back is not done."""
    unfinished = Step.state.in_(("queued", "running", "cancelling"))
    shards = func.count()
    return (
        select(
            Step.job_id,
            func.coalesce(func.sum(Step.done).filter(Step.state.in_(("done", "running"))), 0).label(
                "done"
            ),
            (func.avg(Step.total).filter(Step.total > 0) * shards).label("total"),
            and_(
                func.bool_or(unfinished), Job.state.in_(("queued", "running", "cancelling"))
            ).label("open"),
            Job.state.in_(("queued", "running")).label("goes_on"),
        )
        .join(Job, Job.id == Step.job_id)
        .where(Step.job_id.in_(job_ids), Step.kind.in_(READING))
        .group_by(Step.job_id, Job.state)
    )


def _rate(row: Any, speed: float | None) -> Rate:
    total = None if row.total is None else max(round(row.total), int(row.done))
    left = None
    if row.open and row.goes_on and speed and total is not None:
        left = float(round((total - int(row.done)) / speed))
    return Rate(
        tokens_done=int(row.done), tokens_total=total, tokens_per_s=speed, seconds_left=left
    )


def _speeds(session: Session, job_ids: Sequence[int], *, recent: bool) -> dict[int, float]:
    """Return tokens per second of time in which at least one worker read.

    Each attempt counts from its own beginning, so time in which nobody worked counts nowhere.
    """
    if not job_ids:
        return {}
    rows = session.execute(_busy(_spans(job_ids, recent=recent)))
    return {
        row.job_id: _three_digits(float(row.tokens) / float(row.busy_s))
        for row in rows
        if row.tokens and row.busy_s >= _ENOUGH_S
    }


def _three_digits(value: float) -> float:
    """Round, so that a stream of reports does not change with every look."""
    return float(f"{value:.3g}")


def _spans(job_ids: Sequence[int], *, recent: bool) -> Subquery:
    """Return when shards were read and how many tokens, cut at the beginning of the window."""
    since = func.now() - text(f"make_interval(secs => {WINDOW_S})")
    ended = func.coalesce(Step.finished_at, func.now())
    begun = func.greatest(Step.claimed_at, since) if recent else Step.claimed_at
    alive = or_(Step.state == "done", and_(Step.state == "running", Step.lease_until > func.now()))
    whole = _seconds(ended, Step.claimed_at)
    return (
        select(
            Step.job_id,
            begun.label("begun"),
            ended.label("ended"),
            (Step.done * _seconds(ended, begun) / func.nullif(whole, 0)).label("tokens"),
        )
        .where(Step.job_id.in_(job_ids), Step.kind.in_(READING), alive, ended > begun)
        .subquery("spans")
    )


def _busy(spans: Subquery) -> Any:
    """Return the query for each job's tokens, and the length of the union of its spans."""
    before = func.max(spans.c.ended).over(
        partition_by=spans.c.job_id, order_by=(spans.c.begun, spans.c.ended), rows=(None, -1)
    )
    fresh = func.greatest(spans.c.begun, func.coalesce(before, spans.c.begun))
    parts = select(
        spans.c.job_id,
        spans.c.tokens,
        case((spans.c.ended > fresh, _seconds(spans.c.ended, fresh)), else_=0).label("busy_s"),
    ).subquery("parts")
    return select(
        parts.c.job_id,
        func.sum(parts.c.tokens).label("tokens"),
        func.sum(parts.c.busy_s).label("busy_s"),
    ).group_by(parts.c.job_id)


def _seconds(until: Any, since: Any) -> Any:
    return extract("epoch", until - since)
