"""How a job ends: derived from its steps, once none of them can go on."""

from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from scopebook.db.jobs import STATES, Job, Step
from scopebook.due_steps import first_stage
from scopebook.errors import InvalidInputError, NotFoundError, ScopebookError
from scopebook.jobs import READING
from scopebook.outbox import tell_ended

#: The error kind of a step that was refused because of what it was given.
INPUT_ERROR: Final = "input"
#: The greatest number a job, a run or a step can have: no row goes beyond it.
LARGEST_ID: Final = 2**31 - 1
_UNFINISHED: Final = ("queued", "running", "cancelling")


def kind_of(error: Exception) -> str | None:
    """Return the error kind that a step keeps: whether the input has to be changed."""
    return INPUT_ERROR if isinstance(error, InvalidInputError | NotFoundError) else None


def check_job_id(job_id: int) -> None:
    """Raise `NotFoundError` for a number that no job can have; the database would choke on it."""
    if not 0 < job_id <= LARGEST_ID:
        raise no_job(job_id)


def no_job(job_id: int) -> NotFoundError:
    """Return the error that names a job nobody asked for."""
    return NotFoundError(
        f"There is no job {job_id}; the Runs page and `scopebook jobs` list those there are."
    )


def job_error(session: Session, job_id: int) -> ScopebookError:
    """Return the error to raise for a job that failed or was cancelled.

    It is an `InvalidInputError` where the input was refused, so that the exit code says so too.
    """
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise no_job(job_id)
    message = job.error or f"Job {job_id} was cancelled."
    return (InvalidInputError if job.error_kind == INPUT_ERROR else ScopebookError)(message)


def lock_job(session: Session, job_id: int) -> str:
    """Lock the job's row and return its state: two last steps must see each other end."""
    state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
    if state is None:
        raise no_job(job_id)
    return state


def settle_job(session: Session, job_id: int) -> None:
    """End the job if none of its steps can go on.

    A step that failed holds the stages after its own; the other steps of its stage go on.
    """
    lock_job(session, job_id)
    first = _first_stages(session, job_id)
    if _can_go_on(first):
        return
    end: dict[str, Any] = {"state": "done"}
    if "cancelled" in first:
        end = {"state": "cancelled"}
    elif "failed" in first:
        end = {"state": "failed", **_failure(session, job_id)}
    ended = session.scalars(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(_UNFINISHED))
        .values(finished_at=func.now(), **end)
        .returning(Job)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if ended is not None:
        tell_ended(session, ended)


def _first_stages(session: Session, job_id: int) -> dict[str, int]:
    """Return the first stage that has a step in each state; without what is done, or in no step."""
    states = [state for state in STATES if state != "done"]
    first = session.execute(select(*(first_stage(job_id, state) for state in states))).one()
    return {state: stage for state, stage in zip(states, first, strict=True) if stage is not None}


def _can_go_on(first: dict[str, int]) -> bool:
    """Tell it from the first stage that has a step in each state."""
    if "running" in first or "cancelling" in first:
        return True
    ended = [first[state] for state in ("failed", "cancelled") if state in first]
    return "queued" in first and (not ended or first["queued"] <= min(ended))


def _failure(session: Session, job_id: int) -> dict[str, str | None]:
    """Return the first failure's sentence, and how many failed beside it."""
    first = session.execute(
        select(Step.error, Step.error_kind, Step.stage, Step.kind)
        .where(Step.job_id == job_id, Step.state == "failed")
        .order_by(Step.finished_at, Step.id)
        .limit(1)
    ).one()
    failed, total = session.execute(
        select(func.count().filter(Step.state == "failed"), func.count()).where(
            Step.job_id == job_id, Step.stage == first.stage, Step.kind == first.kind
        )
    ).one()
    message = first.error or "A step failed without a word; look into the worker's log."
    if failed > 1:
        steps = "shards" if first.kind in READING else "steps"
        message += f" ({failed} of {total} {steps} failed; a retry does only these again.)"
    return {"error": message, "error_kind": first.error_kind}
