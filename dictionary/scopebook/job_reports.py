"""What a person sees of long work: states, progress and what it does at the moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job, Step
from scopebook.errors import NotFoundError
from scopebook.paging import decode_cursor, encode_cursor


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """A step as a person sees it."""

    id: int
    stage: int
    kind: str
    title: str
    state: str
    progress: float
    detail: str | None
    attempt: int
    worker: str | None
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """A job as a person sees it."""

    id: int
    kind: str
    title: str
    state: str
    progress: float
    detail: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    steps: list[StepReport] = field(default_factory=list)


def read_job(session: Session, job_id: int) -> JobReport:
    """Return one job with its steps."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise NotFoundError(f"There is no job {job_id}; the Runs page lists those there are.")
    return _report(job, _steps(session, [job_id]).get(job_id, []))


def list_jobs(
    session: Session, *, state: str | None = None, cursor: str | None = None, limit: int = 50
) -> tuple[list[JobReport], str | None]:
    """Return jobs, newest first, without their steps, and the next page's cursor."""
    statement = select(Job).order_by(Job.id.desc()).limit(limit + 1)
    if state is not None:
        statement = statement.where(Job.state == state)
    if cursor is not None:
        statement = statement.where(Job.id < decode_cursor(cursor, [int])[0])
    jobs = list(session.scalars(statement))
    steps = _steps(session, [job.id for job in jobs])
    reports = [_report(job, steps.get(job.id, []), with_steps=False) for job in jobs[:limit]]
    following = encode_cursor([jobs[limit - 1].id]) if len(jobs) > limit else None
    return reports, following


def newest_job(session: Session, kind: str) -> JobReport | None:
    """Return the latest job of a kind, or None."""
    job_id = session.scalar(select(Job.id).where(Job.kind == kind).order_by(Job.id.desc()).limit(1))
    return None if job_id is None else read_job(session, job_id)


def _steps(session: Session, job_ids: Sequence[int]) -> dict[int, list[Step]]:
    steps: dict[int, list[Step]] = {}
    for step in session.scalars(
        select(Step)
        .where(Step.job_id.in_(job_ids))
        .order_by(Step.job_id, Step.stage, Step.id)
        .execution_options(populate_existing=True)
    ):
        steps.setdefault(step.job_id, []).append(step)
    return steps


def _report(job: Job, steps: Sequence[Step], *, with_steps: bool = True) -> JobReport:
    over = job.state in ("done", "failed", "cancelled")
    running = [step for step in steps if step.state == "running"]
    return JobReport(
        id=job.id,
        kind=job.kind,
        title=job.title,
        state=job.state,
        progress=1.0 if job.state == "done" else _job_progress(steps),
        detail=None if over or not running else _doing(running),
        error=job.error,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        steps=[_step_report(step) for step in steps] if with_steps else [],
    )


def _job_progress(steps: Sequence[Step]) -> float:
    """Return the mean over stages of the mean over their steps.

    By stage, since a stage of sixty shards should not hide the three that follow it.
    """
    stages: dict[int, list[float]] = {}
    for step in steps:
        stages.setdefault(step.stage, []).append(_progress(step))
    if not stages:
        return 0.0
    return sum(sum(stage) / len(stage) for stage in stages.values()) / len(stages)


def _progress(step: Any) -> float:
    if step.state == "done":
        return 1.0
    return min(step.done / step.total, 1.0) if step.total else 0.0


def _doing(running: Sequence[Step]) -> str:
    first = running[0]
    detail = _detail(first)
    others = len(running) - 1
    return (
        first.title + (f": {detail}" if detail else "") + (f", and {others} more" if others else "")
    )


def _detail(step: Step) -> str | None:
    if not step.total:
        return None
    return f"{step.done:,} of {step.total:,} {step.unit}".rstrip()


def _step_report(step: Step) -> StepReport:
    return StepReport(
        id=step.id,
        stage=step.stage,
        kind=step.kind,
        title=step.title,
        state=step.state,
        progress=_progress(step),
        detail=_detail(step),
        attempt=step.attempt,
        worker=step.worker,
        error=step.error,
        started_at=step.started_at,
        finished_at=step.finished_at,
    )
