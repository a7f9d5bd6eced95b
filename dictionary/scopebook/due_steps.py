"""Which steps could be claimed now, asked so that the number of steps hardly matters.

A step is due when it is queued, or its worker's lease has run out, its job goes on, and all steps
of the job's earlier stages are done. All due steps of a job are thus of one stage, its first that
is not done (its open stage), and the index `ix_step_place` leads to it and to what is due in it: a
look at a job takes as long with a hundred thousand shards as with ten.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ARRAY, String, case, column, exists, func, literal, or_, select, true
from sqlalchemy.orm import Session, aliased

from scopebook.db.jobs import STATES, Job, Step
from scopebook.jobs import BULK, QUEUE_OF, SOON

#: Jobs whose steps may be claimed.
UNDER_WAY: Final = ("queued", "running")
#: Steps beside the one that is asked about; made once, which takes as long as a question.
_OTHER: Final = aliased(Step)


@dataclass(frozen=True)
class Place:
    """Where something is due: steps of one kind, in the open stage of a job."""

    job_id: int
    stage: int
    kind: str


def first_stage(job_id: Any, state: str) -> Any:
    """Return, as an expression, the first stage of a job with a step in a state; null without one.

    In the order of the index: for a mere question whether there is one the planner reads the table.
    """
    return (
        select(_OTHER.stage)
        .where(_OTHER.job_id == job_id, _OTHER.state == state)
        .order_by(_OTHER.stage)
        .limit(1)
        .scalar_subquery()
    )


def open_stage(job_id: Any) -> Any:
    """Return, as an expression, the first stage of a job that is not done; null when all are."""
    return func.least(*(first_stage(job_id, state) for state in STATES if state != "done"))


def lease_ran_out() -> Any:
    """Return the condition of steps whose workers are taken for dead."""
    return (Step.state == "running") & (Step.lease_until < func.now())


def is_due() -> Any:
    """Return the condition of due steps, for questions that a few rows are left of."""
    return (
        or_(Step.state == "queued", lease_ran_out())
        & exists().where(Job.id == Step.job_id, Job.state.in_(UNDER_WAY))
        & (Step.stage == open_stage(Step.job_id))
    )


def due_places(
    session: Session, kinds: Sequence[str], *, max_attempts: int | None = None
) -> list[Place]:
    """Return where steps of these kinds are due, in the order in which they are to be claimed.

    What somebody waits for goes first and bulk last (`scopebook.jobs`); then the oldest job.
    """
    stage, kind = open_stages(), _each_of(kinds)
    lost, queued = (
        _some(due, 1, max_attempts).lateral()
        for due in _due_at(stage.c.job_id, stage.c.stage, kind.c.kind)
    )
    places = stage.join(kind, true()).outerjoin(lost, true()).outerjoin(queued, true())
    rows = session.execute(
        select(stage.c.job_id, stage.c.stage, kind.c.kind)
        .select_from(places)
        .where(or_(lost.c.id.is_not(None), queued.c.id.is_not(None)))
        .order_by(_turn(kind.c.kind), stage.c.job_id, kind.c.kind)
    )
    return [Place(*row) for row in rows]


def due_kinds(session: Session, *, at_most: int, job_id: int | None = None) -> dict[str, int]:
    """Return of how many steps of each kind, up to `at_most`, could be claimed now.

    With `job_id` of that job alone.
    """
    stage, kind = open_stages(job_id), _each_of(list(QUEUE_OF))
    counts: Counter[str] = Counter()
    for due in _due_at(stage.c.job_id, stage.c.stage, kind.c.kind):
        some = _some(due, at_most).lateral()
        rows = session.execute(
            select(kind.c.kind, func.count())
            .select_from(stage.join(kind, true()).join(some, true()))
            .group_by(kind.c.kind)
        )
        counts.update({name: int(n) for name, n in rows})
    return {name: min(n, at_most) for name, n in counts.items()}


def due_at(place: Place, *, max_attempts: int) -> list[Any]:
    """Return selects of the step to claim next at a place, its `id`: of those lost and queued."""
    return [_some(due, 1, max_attempts) for due in _due_at(place.job_id, place.stage, place.kind)]


def _some(due: Any, limit: int, max_attempts: int | None = None) -> Any:
    """Return a select of the first steps that a condition holds for.

    By kind and id, although they are of one kind: with the id alone the planner takes the key's
    index, in which all that is done stands before the first that is not.
    """
    if max_attempts is not None:
        due &= Step.attempt < max_attempts
    return select(Step.id).where(due).order_by(Step.kind, Step.id).limit(limit)


def _due_at(job_id: Any, stage: Any, kind: Any) -> list[Any]:
    # Each is a short stretch of the index. That the kind is equal is not said as such: see `_some`.
    there = (Step.job_id == job_id) & (Step.stage == stage) & (Step.kind >= kind)
    there &= Step.kind <= kind
    return [there & lease_ran_out(), there & (Step.state == "queued")]


def open_stages(job_id: int | None = None) -> Any:
    """Return the jobs under way, or the one that is named, with their open stages.

    Columns: `job_id`, `stage`. A table of its own in the statement, since it is asked once and not
    for each kind of step.
    """
    jobs = select(Job.id.label("job_id"), open_stage(Job.id).label("stage"))
    jobs = jobs.where(Job.state.in_(UNDER_WAY))
    if job_id is not None:
        jobs = jobs.where(Job.id == job_id)
    return jobs.cte("open_stages").prefix_with("MATERIALIZED")


def _each_of(kinds: Sequence[str]) -> Any:
    return (
        func.unnest(literal(list(kinds), ARRAY(String)))
        .table_valued(column("kind", String))
        .render_derived()
    )


def _turn(kind: Any) -> Any:
    return case((kind.in_(SOON), 0), (kind.in_(BULK), 2), else_=1)
