"""How many workers are told of what is due: some at first, and whoever finds work tells others."""

from typing import Final

from sqlalchemy.orm import Session

from scopebook import notices
from scopebook.due_steps import due_kinds

#: So many notices at most for one kind at a time; each taker wakes others, and goes on until
#: nothing is due.
MAX_NOTICES: Final = 8
#: So many notices does one that found work send on: each level of them is three times as wide.
_SENT_ON: Final = 2


def wake_for_job(session: Session, job_id: int) -> None:
    """Tell the workers of what of a job is due now, once this session has committed."""
    for kind, count in due_kinds(session, job_id=job_id, at_most=MAX_NOTICES).items():
        notices.request(session, kind, count)


def wake_others(session: Session, job_id: int, kind: str) -> None:
    """Tell others of what is left beside a step that was claimed, once this session has committed.

    For the first step after a notice alone: there would else be a notice for each step.
    """
    left = due_kinds(session, job_id=job_id, at_most=_SENT_ON).get(kind)
    if left:
        notices.request(session, kind, left)
