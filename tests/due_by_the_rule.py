"""Which steps are due, word by word as the rule says it: what the quick way is held to."""

from typing import Any

from sqlalchemy import exists, func, or_
from sqlalchemy.orm import aliased

from scopebook.db.jobs import Job, Step


def due_by_the_rule() -> Any:
    """Return the condition of steps that may be claimed."""
    earlier = aliased(Step)
    return (
        or_(Step.state == "queued", (Step.state == "running") & (Step.lease_until < func.now()))
        & exists().where(Job.id == Step.job_id, Job.state.in_(("queued", "running")))
        & ~exists().where(
            earlier.job_id == Step.job_id, earlier.stage < Step.stage, earlier.state != "done"
        )
    )
