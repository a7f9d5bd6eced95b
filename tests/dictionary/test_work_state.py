"""What waits is what could be claimed, however jobs stand."""

import random
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from tests.due_by_the_rule import due_by_the_rule

from scopebook.db.jobs import Job, Step
from scopebook.jobs import COLLECT_SHARD, LIVE, QUEUE_OF
from scopebook.steps import NewStep, create_job
from scopebook.work_state import read_work


def test_what_waits_in_a_queue_is_what_could_be_claimed_from_it(session: Session) -> None:
    dice = random.Random(5)
    kinds = sorted(QUEUE_OF)
    for _ in range(40):
        steps = [
            NewStep(kind=dice.choice(kinds), stage=dice.randrange(3), title="t") for _ in range(6)
        ]
        create_job(session, "t", "T", steps).state = dice.choice(("queued", "running", "failed"))
    session.flush()
    states = ("queued", "queued", "running", "done", "done", "failed", "cancelling", "cancelled")
    for step_id in session.scalars(select(Step.id)).all():
        lease = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, dice.choice((-60, 60)))
        state = dice.choice(states)
        values = {"state": state, "lease_until": lease if state == "running" else None}
        session.execute(update(Step).where(Step.id == step_id).values(**values))
    due = {row.kind: row[1] for row in session.execute(_due_by_kind())}

    found = read_work(session).queues

    waiting = dict.fromkeys(QUEUE_OF.values(), 0)
    for kind, n in due.items():
        waiting[QUEUE_OF[kind]] += n
    assert sum(waiting.values()) > 10
    assert {queue: state.waiting for queue, state in found.items() if queue != LIVE} == waiting
    counted = sum(state.waiting + state.blocked + state.running for state in found.values())
    unfinished = select(func.count()).where(Step.state.in_(("queued", "running")))
    assert counted == session.scalar(unfinished)


def _due_by_kind() -> Any:
    return select(Step.kind, func.count()).where(due_by_the_rule()).group_by(Step.kind)


def test_a_stage_waits_since_the_one_before_it_ended(session: Session) -> None:
    steps = [NewStep(kind=COLLECT_SHARD, stage=stage, title="t") for stage in (0, 1)]
    job: Job = create_job(session, "t", "T", steps)
    hours = {name: func.now() - func.make_interval(0, 0, 0, 0, n) for name, n in _HOURS.items()}
    session.execute(update(Step).values(created_at=hours["created"]))
    first = update(Step).where(Step.job_id == job.id, Step.stage == 0)
    session.execute(first.values(state="done", finished_at=hours["ended"]))

    assert read_work(session).queues["gpu"].oldest_s == 3600


_HOURS = {"created": 5, "ended": 1}
