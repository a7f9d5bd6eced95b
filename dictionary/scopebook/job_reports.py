"""What a person sees of long work: states, progress and what it does at the moment.

A job may have ten thousand steps. Reports are made of sums that the database forms, the steps
that run or need a look, and a bounded number of others; `list_steps` pages through all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from sqlalchemy import case, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job, Step
from scopebook.db.tables import Corpus, Release, Run, Tokenisation
from scopebook.job_ends import check_job_id, no_job
from scopebook.job_rates import Rate, read_rates
from scopebook.job_stages import StageReport, job_progress, read_stages
from scopebook.job_times import WorkTime, read_work_times
from scopebook.jobs import READING
from scopebook.paging import decode_cursor, encode_cursor

OVER: Final = ("done", "failed", "cancelled")
#: A report holds all steps of a job with so many, and of a larger one no more than these.
STEPS_SHOWN: Final = 200
#: Steps that run, failed or wait for another attempt, at most.
_NOTABLE_SHOWN: Final = 100
_CODES: Final = {"queued": "q", "running": "r", "done": "d", "failed": "f", "cancelling": "s"}
_CANCELLED: Final = "c"
_STATE_OF: Final = {code: state for state, code in _CODES.items()} | {_CANCELLED: "cancelled"}


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
    claimed_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class WorkerReport:
    """A worker that holds a step of the job."""

    name: str
    step_id: int
    title: str
    detail: str | None
    since: datetime | None
    #: False: its lease ran out, so another worker will take the step.
    alive: bool


@dataclass(frozen=True)
class GridRun:
    """So many shards one after the other that are in the same state."""

    state: str
    count: int


@dataclass(frozen=True)
class JobRun:
    """A run that the job makes."""

    id: int
    release: str
    corpus: str
    layers: list[int]


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
    #: Tokens that its collections have read, null for a job that collects nothing (yet).
    tokens_done: int | None
    tokens_total: int | None
    tokens_per_s: float | None
    seconds_left: float | None
    steps_total: int
    runs: list[JobRun]
    stages: list[StageReport]
    #: Seconds in which at least one worker was at it, before `working_since`.
    worked_s: float = 0.0
    #: Since when somebody has been at it without a break; null: nobody is now.
    working_since: datetime | None = None
    workers: list[WorkerReport] = field(default_factory=list)
    #: The states of its shards, in their order.
    shards: list[GridRun] = field(default_factory=list)
    steps: list[StepReport] = field(default_factory=list)


def read_job(session: Session, job_id: int, *, others: int = STEPS_SHOWN) -> JobReport:
    """Return one job with its workers, its shards' states and its steps.

    All steps of a job with up to `others`; of a larger one those that run, failed or wait for
    another attempt, and as many others as there is room for.
    """
    job = _job(session, job_id)
    return _reports(
        session,
        [job],
        workers=_workers(session, job_id),
        shards=_shards(session, job_id),
        steps=_some_steps(session, job_id, others),
    )[0]


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
    following = encode_cursor([jobs[limit - 1].id]) if len(jobs) > limit else None
    return _reports(session, jobs[:limit]), following


def changing_jobs(session: Session, over: set[int], *, limit: int = 20) -> list[JobReport]:
    """Return the newest jobs, without those in `over` that are over still."""
    jobs = session.scalars(select(Job).order_by(Job.id.desc()).limit(limit))
    return _reports(session, [job for job in jobs if job.id not in over or job.state not in OVER])


def newest_job(session: Session, kind: str) -> JobReport | None:
    """Return the latest job of a kind, or None."""
    job_id = session.scalar(select(Job.id).where(Job.kind == kind).order_by(Job.id.desc()).limit(1))
    return None if job_id is None else read_job(session, job_id)


def list_steps(
    session: Session,
    job_id: int,
    *,
    state: str | None = None,
    stage: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[StepReport], str | None]:
    """Return a job's steps in order of stage and age, and the next page's cursor."""
    _job(session, job_id)
    statement = _in_order(job_id).limit(limit + 1)
    if state is not None:
        statement = statement.where(Step.state == state)
    if stage is not None:
        statement = statement.where(Step.stage == stage)
    if cursor is not None:
        after = decode_cursor(cursor, [int, int])
        statement = statement.where(tuple_(Step.stage, Step.id) > tuple_(*after))
    steps = list(session.scalars(statement))
    following = None
    if len(steps) > limit:
        following = encode_cursor([steps[limit - 1].stage, steps[limit - 1].id])
    return [_step_report(step) for step in steps[:limit]], following


def _job(session: Session, job_id: int) -> Job:
    check_job_id(job_id)
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise no_job(job_id)
    return job


def _in_order(job_id: int) -> Any:
    return (
        select(Step)
        .where(Step.job_id == job_id)
        .order_by(Step.stage, Step.id)
        .execution_options(populate_existing=True)
    )


def _reports(session: Session, jobs: Sequence[Job], **details: Any) -> list[JobReport]:
    """Describe jobs by sums that the database forms; `details` are of the one job there is."""
    ids = [job.id for job in jobs]
    stages = read_stages(session, ids)
    doing, rates, runs = _doing(session, ids), read_rates(session, ids), _runs(session, ids)
    times = read_work_times(session, ids)
    return [
        JobReport(
            id=job.id,
            kind=job.kind,
            title=job.title,
            state=job.state,
            progress=1.0 if job.state == "done" else job_progress(stages.get(job.id, [])),
            detail=None if job.state in OVER else doing.get(job.id),
            error=job.error,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            steps_total=sum(stage.steps for stage in stages.get(job.id, [])),
            runs=runs.get(job.id, []),
            stages=stages.get(job.id, []),
            **_measured(rates.get(job.id)),
            **_worked(times.get(job.id, WorkTime())),
            **details,
        )
        for job in jobs
    ]


def _measured(rate: Rate | None) -> dict[str, Any]:
    names = ("tokens_done", "tokens_total", "tokens_per_s", "seconds_left")
    return {name: getattr(rate, name, None) for name in names}


def _worked(time: WorkTime) -> dict[str, Any]:
    return {"worked_s": time.seconds, "working_since": time.since}


def _doing(session: Session, job_ids: Sequence[int]) -> dict[int, str]:
    """Say what each job does: its first running step, and how many others run."""
    others = func.count().over(partition_by=Step.job_id)
    rows = session.execute(
        select(Step.job_id, Step.title, Step.done, Step.total, Step.unit, others.label("running"))
        .where(Step.job_id.in_(job_ids), Step.state == "running")
        .ext(distinct_on(Step.job_id))
        .order_by(Step.job_id, Step.stage, Step.id)
    )
    return {row.job_id: _sentence(row) for row in rows}


def _sentence(row: Any) -> str:
    detail, others = _detail(row), row.running - 1
    more = f", and {others} more" if others else ""
    return f"{row.title}{f': {detail}' if detail else ''}{more}"


def _runs(session: Session, job_ids: Sequence[int]) -> dict[int, list[JobRun]]:
    runs: dict[int, list[JobRun]] = {}
    for row in session.execute(
        select(Run.job_id, Run.id, Release.name, Corpus.name.label("corpus"), Run.layers)
        .join(Release, Release.id == Run.release_id)
        .join(Tokenisation, Tokenisation.id == Run.tokenisation_id)
        .join(Corpus, Corpus.id == Tokenisation.corpus_id)
        .where(Run.job_id.in_(job_ids))
        .order_by(Run.id)
    ):
        runs.setdefault(row.job_id, []).append(JobRun(row.id, row.name, row.corpus, row.layers))
    return runs


def _workers(session: Session, job_id: int) -> list[WorkerReport]:
    """Return who holds a step of the job, by name."""
    rows = session.execute(
        select(Step, (Step.lease_until > func.now()).label("alive"))
        .where(Step.job_id == job_id, Step.state.in_(("running", "cancelling")))
        .order_by(Step.worker, Step.id)
        .limit(_NOTABLE_SHOWN)
        .execution_options(populate_existing=True)
    )
    return [
        WorkerReport(
            name=step.worker or "",
            step_id=step.id,
            title=step.title,
            detail=_detail(step),
            since=step.claimed_at,
            alive=bool(alive),
        )
        for step, alive in rows
    ]


def _shards(session: Session, job_id: int) -> list[GridRun]:
    """Return the shards' states in order, equal neighbours together."""
    code = case(_CODES, value=Step.state, else_=_CANCELLED)
    codes = session.scalar(
        select(func.string_agg(code, aggregate_order_by(literal(""), Step.id))).where(
            Step.job_id == job_id, Step.kind.in_(READING)
        )
    )
    return [GridRun(_STATE_OF[code], len(list(same))) for code, same in groupby(codes or "")]


def _some_steps(session: Session, job_id: int, others: int) -> list[StepReport]:
    """Return the steps that need a look, and others up to a bound, in order."""
    waits = (Step.state == "queued") & (or_(Step.attempt > 0, Step.error.is_not(None)))
    notable = or_(Step.state.in_(("running", "cancelling", "failed")), waits)
    urgency = case((Step.state == "failed", 0), (Step.state == "queued", 1), else_=2)
    wanted = _in_order(job_id).order_by(None)
    first = list(
        session.scalars(
            wanted.where(notable).order_by(urgency, Step.stage, Step.id).limit(_NOTABLE_SHOWN)
        )
    )
    room = max(0, others - len(first))
    rest = session.scalars(
        wanted.where(~notable).order_by(Step.stage, Step.id).limit(room)
        if room
        else wanted.limit(0)
    )
    steps = sorted([*first, *rest], key=lambda step: (step.stage, step.id))
    return [_step_report(step) for step in steps]


def _detail(step: Any) -> str | None:
    if not step.total:
        return None
    return f"{step.done:,} of {step.total:,} {step.unit}".rstrip()


def _step_progress(step: Step) -> float:
    if step.state == "done":
        return 1.0
    if step.state in ("running", "cancelling") and step.total:
        return min(step.done / step.total, 1.0)
    return 0.0


def _step_report(step: Step) -> StepReport:
    return StepReport(
        id=step.id,
        stage=step.stage,
        kind=step.kind,
        title=step.title,
        state=step.state,
        progress=_step_progress(step),
        detail=None if step.state == "queued" else _detail(step),
        attempt=step.attempt,
        worker=step.worker,
        error=step.error,
        started_at=step.started_at,
        claimed_at=step.claimed_at,
        finished_at=step.finished_at,
    )
