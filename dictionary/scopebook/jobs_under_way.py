"""Which job is at work on a release: two of one kind would get into each other's way."""

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.errors import ConflictError

UNDER_WAY: Final = ("queued", "running", "cancelling")
#: The kind of jobs that delete.
DELETE_JOB: Final = "delete"


def job_under_way(session: Session, kind: str, release: str) -> int | None:
    """Return the id of the newest job of a kind that is not over for a release."""
    return session.scalar(
        select(Job.id)
        .where(
            Job.kind == kind,
            Job.state.in_(UNDER_WAY),
            Job.parameters["release"].astext == release,
        )
        .order_by(Job.id.desc())
        .limit(1)
    )


def refuse_beside(session: Session, kind: str, release: str, *, does: str) -> None:
    """Raise ConflictError while such a job is under way; `does` is what it does, as in `labels`."""
    busy = job_under_way(session, kind, release)
    if busy is not None:
        raise ConflictError(
            f"Job {busy} {does} {release} at this moment; wait for it, or cancel it with "
            f"`scopebook jobs cancel {busy}`."
        )
