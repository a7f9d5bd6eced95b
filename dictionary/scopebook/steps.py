"""Jobs and their steps: create, claim under a lease, end exactly once, cancel, retry.

A worker claims a step for a limited time and renews the lease while it works. Each claim raises
`fence`; whoever ends or renews a step must name the number it holds, so a worker that was taken for
dead cannot write over its successor. Only the database's clock is used. Rows are locked in one
order, steps before their job. How a job ends follows from its steps: see `scopebook.job_ends`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import exists, func, select, text, update
from sqlalchemy.orm import Session

from scopebook import notices
from scopebook.db.jobs import Job, Step
from scopebook.due_steps import UNDER_WAY, Place, due_at, due_places, is_due, open_stage
from scopebook.errors import ConflictError
from scopebook.job_ends import check_job_id, lock_job, settle_job
from scopebook.quotas import place_of_job, place_of_retry
from scopebook.waking import wake_for_job


@dataclass(frozen=True, kw_only=True)
class NewStep:
    """A step to be created."""

    kind: str
    stage: int
    title: str
    parameters: dict[str, Any] = field(default_factory=dict)
    #: How much there is to do, where it is known before anyone begins.
    total: int = 0
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A step held by this worker, until its lease ends."""

    step_id: int
    job_id: int
    kind: str
    stage: int
    attempt: int
    #: How often it ended with an error that may pass, since it was asked for.
    failures: int
    fence: int
    title: str
    parameters: dict[str, Any]
    #: Another worker had it and let its lease run out.
    lost: bool = False


class LostClaimError(ConflictError):
    """The step is no longer this worker's: its lease ran out, or its job was cancelled."""


def create_job(
    session: Session,
    kind: str,
    title: str,
    steps: Sequence[NewStep],
    *,
    parameters: dict[str, Any] | None = None,
) -> Job:
    """Create a job with its first steps; workers are told after the commit."""
    by = place_of_job(session, kind)
    job = Job(kind=kind, title=title, parameters=parameters or {}, account_id=by)
    session.add(job)
    session.flush()
    add_steps(session, job.id, steps)
    session.refresh(job)
    return job


def add_steps(session: Session, job_id: int, steps: Sequence[NewStep]) -> list[Step]:
    """Add steps to a job that is not over; those of one stage may run side by side."""
    rows = [
        Step(
            job_id=job_id,
            kind=step.kind,
            stage=step.stage,
            title=step.title,
            parameters=step.parameters,
            total=step.total,
            unit=step.unit,
        )
        for step in steps
    ]
    session.add_all(rows)
    session.flush()
    if rows:
        wake_for_job(session, job_id)
    return rows


def claim_step(
    session: Session, *kinds: str, worker: str, lease_s: float, max_attempts: int
) -> Claim | None:
    """Take the next due step of these kinds, or return None; commit before working on it.

    What somebody waits for goes first and bulk last (`scopebook.jobs`); then the oldest job.
    """
    _fail_exhausted(session, kinds, max_attempts)
    for place in due_places(session, kinds, max_attempts=max_attempts):
        claim = _claim_at(session, place, worker, lease_s=lease_s, max_attempts=max_attempts)
        if claim is not None:
            _note_running(session, claim.job_id)
            return claim
    return None


def _claim_at(
    session: Session, place: Place, worker: str, *, lease_s: float, max_attempts: int
) -> Claim | None:
    """Take the oldest step that is due at a place; None where others have taken all meanwhile."""
    for next_one in due_at(place, max_attempts=max_attempts):
        candidate = (
            next_one.add_columns((Step.state == "running").label("lost"))
            .with_for_update(skip_locked=True, of=Step)
            .cte("candidate")
        )
        row = session.execute(
            update(Step)
            .where(Step.id == candidate.c.id)
            .values(
                state="running",
                attempt=Step.attempt + 1,
                fence=Step.fence + 1,
                worker=worker,
                lease_until=_lease(lease_s),
                started_at=func.coalesce(Step.started_at, func.now()),
                claimed_at=func.now(),
                done=0,
                error=None,
                error_kind=None,
            )
            .returning(
                *(Step.id.label("step_id"), Step.job_id, Step.kind, Step.stage, Step.attempt),
                *(Step.failures, Step.fence, Step.title, Step.parameters, candidate.c.lost),
            )
        ).one_or_none()
        if row is not None:
            return Claim(**row._asdict())
    return None


def _lease(lease_s: float) -> Any:
    return func.now() + text("make_interval(secs => :lease_s)").bindparams(lease_s=lease_s)


def _note_running(session: Session, job_id: int) -> None:
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state == "queued")
        .values(state="running", started_at=func.coalesce(Job.started_at, func.now()))
    )


def _fail_exhausted(session: Session, kinds: Sequence[str], max_attempts: int) -> None:
    """Fail steps whose workers died on them again and again, so that nothing loops for ever."""
    spent = session.execute(
        select(Step.id, Step.job_id, Step.attempt)
        .where(Step.state.in_(UNDER_WAY), Step.attempt >= max_attempts)
        .where(Step.kind.in_(kinds), is_due())
        .with_for_update(skip_locked=True, of=Step)
    ).all()
    for step_id, job_id, attempt in spent:
        message = (
            f"The worker died {attempt} times while it did this step; "
            "look into the worker's log, then retry the job."
        )
        _fail(session, step_id, job_id, message, kind=None)


def renew_step(
    session: Session,
    claim: Claim,
    *,
    lease_s: float,
    done: int | None = None,
    total: int | None = None,
    unit: str | None = None,
) -> None:
    """Prolong the lease and note the progress; raise `LostClaimError` if it is lost."""
    progress = {"done": done, "total": total, "unit": unit}
    values = {name: value for name, value in progress.items() if value is not None}
    updated = session.execute(
        update(Step)
        .where(
            *_held(claim),
            exists().where(Job.id == Step.job_id, Job.state.in_(UNDER_WAY)),
        )
        .values(lease_until=_lease(lease_s), **values)
        .returning(Step.id)
    ).one_or_none()
    if updated is None:
        raise LostClaimError(f"Step {claim.step_id} was cancelled or given to another worker.")


def retitle_step(session: Session, claim: Claim, title: str) -> None:
    """Give a held step a title that says more."""
    session.execute(update(Step).where(*_held(claim)).values(title=title))


def _held(claim: Claim) -> tuple[Any, ...]:
    return (
        Step.id == claim.step_id,
        Step.fence == claim.fence,
        Step.state.in_(("running", "cancelling")),
    )


def finish_step(session: Session, claim: Claim, following: Sequence[NewStep] = ()) -> None:
    """End a step in the transaction that writes its results; raise if the claim is lost.

    `following` are steps of later stages that only this step could know of.
    """
    updated = session.execute(
        update(Step)
        .where(*_held(claim))
        .values(
            state="done",
            done=func.greatest(Step.done, Step.total),
            finished_at=func.now(),
            lease_until=None,
        )
        .returning(Step.id)
    ).one_or_none()
    if updated is None or lock_job(session, claim.job_id) == "cancelling":
        raise LostClaimError(f"Step {claim.step_id} was cancelled or given to another worker.")
    add_steps(session, claim.job_id, following)
    settle_job(session, claim.job_id)
    if session.scalar(select(open_stage(claim.job_id))) != claim.stage:
        wake_for_job(session, claim.job_id)


def was_finished(session: Session, claim: Claim) -> bool:
    """Tell whether this claim ended its step: a commit may stand although its answer was lost."""
    state = select(Step.state).where(Step.id == claim.step_id, Step.fence == claim.fence)
    return session.scalar(state) == "done"


def fail_step(
    session: Session, claim: Claim, message: str, *, again: bool, kind: str | None = None
) -> None:
    """Note why a step failed; `again` gives it back to the queue, else its job fails in the end.

    `kind` is what `scopebook.job_ends.kind_of` says of the error.
    """
    held = session.scalar(select(Step.state).where(*_held(claim)).with_for_update())
    if held is None:
        return
    if held == "cancelling":
        _wind_down(session, claim.step_id, claim.job_id)
    elif again:
        session.execute(
            update(Step)
            .where(Step.id == claim.step_id)
            .values(state="queued", error=message, lease_until=None, failures=Step.failures + 1)
        )
    else:
        _fail(session, claim.step_id, claim.job_id, message, kind=kind)


def _fail(session: Session, step_id: int, job_id: int, message: str, *, kind: str | None) -> None:
    session.execute(
        update(Step)
        .where(Step.id == step_id)
        .values(
            state="failed",
            error=message,
            error_kind=kind,
            lease_until=None,
            finished_at=func.now(),
        )
    )
    settle_job(session, job_id)


def release_step(session: Session, claim: Claim) -> None:
    """Give up a step whose job was cancelled meanwhile."""
    held = session.scalar(select(Step.id).where(*_held(claim)).with_for_update())
    if held is not None:
        _wind_down(session, claim.step_id, claim.job_id)


def _wind_down(session: Session, step_id: int, job_id: int) -> None:
    """End a step nobody works on any more; if its job was retried meanwhile, queue it again."""
    alive = lock_job(session, job_id) in UNDER_WAY
    session.execute(
        update(Step)
        .where(Step.id == step_id)
        .values(
            state="queued" if alive else "cancelled",
            lease_until=None,
            finished_at=None if alive else func.now(),
        )
    )
    if alive:
        wake_for_job(session, job_id)
    else:
        settle_job(session, job_id)


def give_back_step(session: Session, claim: Claim) -> None:
    """Queue an unfinished step again because its worker stops; the attempt does not count."""
    updated = session.execute(
        update(Step)
        .where(*_held(claim), Step.state == "running")
        .values(state="queued", attempt=Step.attempt - 1, lease_until=None)
        .returning(Step.id)
    ).one_or_none()
    if updated is None:
        release_step(session, claim)
    else:
        notices.request(session, claim.kind)


def cancel_job(session: Session, job_id: int) -> None:
    """Cancel what is queued and ask what runs to stop; raise when the job is over."""
    check_job_id(job_id)
    for present, wanted in (("queued", "cancelled"), ("running", "cancelling")):
        session.execute(
            update(Step)
            .where(Step.job_id == job_id, Step.state == present)
            .values(state=wanted, finished_at=func.now() if wanted == "cancelled" else None)
        )
    state = lock_job(session, job_id)
    if state in ("done", "failed", "cancelled"):
        raise ConflictError(f"Job {job_id} is over ({state}), so it cannot be cancelled.")
    session.execute(update(Job).where(Job.id == job_id).values(state="cancelling"))
    settle_job(session, job_id)


def settle_cancelled(session: Session) -> None:
    """End steps of cancelled jobs that no worker will end: it died, or never began."""
    gone = session.execute(
        select(Step.id, Step.job_id)
        .join(Job, Job.id == Step.job_id)
        .where(
            ((Step.state == "cancelling") & (Step.lease_until < func.now()))
            | ((Step.state == "queued") & (Job.state == "cancelling"))
        )
        .with_for_update(skip_locked=True, of=Step)
    ).all()
    for step_id, job_id in gone:
        _wind_down(session, step_id, job_id)


def retry_job(session: Session, job_id: int) -> None:
    """Queue the failed and cancelled steps of a job again; what is done stays done."""
    check_job_id(job_id)
    session.execute(
        update(Step)
        .where(Step.job_id == job_id, Step.state.in_(("failed", "cancelled")))
        .values(
            state="queued",
            attempt=0,
            failures=0,
            error=None,
            error_kind=None,
            done=0,
            started_at=None,
            finished_at=None,
        )
    )
    state = lock_job(session, job_id)
    if state not in ("failed", "cancelled"):
        raise ConflictError(f"Job {job_id} is {state}; only a failed or cancelled job is retried.")
    place_of_retry(session, job_id)
    session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(state="queued", error=None, error_kind=None, finished_at=None)
    )
    wake_for_job(session, job_id)
