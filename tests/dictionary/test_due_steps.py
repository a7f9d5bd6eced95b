"""Which steps are due: the quick way finds what the rule says, and touches few of many steps."""

import random
from collections import Counter

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session
from tests.due_by_the_rule import due_by_the_rule

from scopebook.db.jobs import STATES, Step
from scopebook.due_steps import due_kinds, due_places
from scopebook.jobs import BULK, COLLECT_SHARD, MERGE_SAE, QUEUE_OF, SOON
from scopebook.steps import (
    NewStep,
    claim_step,
    create_job,
    finish_step,
)
from scopebook.waking import MAX_NOTICES, wake_others

KINDS = sorted(QUEUE_OF)


def jobs_in_disorder(session: Session, *, seed: int) -> None:
    """Make jobs whose steps are in all states, also those that no worker would bring about."""
    dice = random.Random(seed)
    for _ in range(30):
        steps = [
            NewStep(kind=dice.choice(KINDS[:5]), stage=dice.randrange(3), title="t")
            for _ in range(8)
        ]
        create_job(session, "t", "T", steps).state = dice.choice(STATES)
    session.flush()
    for step_id in session.scalars(select(Step.id)).all():
        state = dice.choice((*STATES, "queued", "done", "done"))
        lease = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, dice.choice((-60, 60)))
        values = {"state": state, "lease_until": lease if state == "running" else None}
        session.execute(
            update(Step).where(Step.id == step_id).values(attempt=dice.randrange(4), **values)
        )


def by_the_rule(session: Session) -> list[Step]:
    """Return the due steps that were not tried three times."""
    condition = due_by_the_rule() & (Step.attempt < 3)
    return list(session.scalars(select(Step).where(condition).order_by(Step.id)))


def test_what_is_claimed_is_what_the_rule_calls_due(session: Session) -> None:
    for seed in range(3):
        jobs_in_disorder(session, seed=seed)
    due = {step.id: step.kind for step in by_the_rule(session)}
    kinds = KINDS[:4]
    assert set(kinds) < set(due.values())

    taken = []
    while held := claim_step(session, *kinds, worker="w", lease_s=60, max_attempts=3):
        taken.append(held.step_id)

    assert sorted(taken) == [step_id for step_id, kind in due.items() if kind in kinds]


def test_places_are_in_the_order_of_their_turns(session: Session) -> None:
    jobs_in_disorder(session, seed=9)
    due = by_the_rule(session)

    places = due_places(session, KINDS, max_attempts=3)

    def turn(kind: str) -> int:
        return 0 if kind in SOON else 2 if kind in BULK else 1

    assert [(turn(place.kind), place.job_id) for place in places] == sorted(
        (turn(kind), job_id) for kind, job_id in {(step.kind, step.job_id) for step in due}
    )


def test_due_steps_are_counted_by_kind_up_to_a_number(session: Session) -> None:
    jobs_in_disorder(session, seed=4)
    due = session.scalars(select(Step).where(due_by_the_rule())).all()
    job_id = due[0].job_id

    for at_most in (1, 3, 100):
        counts = Counter(step.kind for step in due)
        of_job = Counter(step.kind for step in due if step.job_id == job_id)
        assert due_kinds(session, at_most=at_most) == {
            kind: min(n, at_most) for kind, n in counts.items()
        }
        assert due_kinds(session, at_most=at_most, job_id=job_id) == {
            kind: min(n, at_most) for kind, n in of_job.items()
        }


def told(session: Session) -> dict[str, int]:
    """Return how many notices are to be sent, and forget them."""
    return dict(session.info.pop("scopebook.notices", {}))


def test_whoever_finds_work_wakes_others_and_a_stage_that_opens_wakes_many(
    session: Session,
) -> None:
    shards = [NewStep(kind=COLLECT_SHARD, stage=0, title="Shard")] * 3
    merges = [NewStep(kind=MERGE_SAE, stage=1, title="Merge")] * (MAX_NOTICES + 1)
    create_job(session, "t", "T", [*shards, *merges])
    told_first = told(session)

    wakes, ends = [], []
    for _ in shards:
        held = claim_step(session, COLLECT_SHARD, worker="w", lease_s=60, max_attempts=3)
        assert held is not None
        wake_others(session, held.job_id, held.kind)
        wakes.append(told(session))
        finish_step(session, held)
        ends.append(told(session))

    assert told_first == {COLLECT_SHARD: 3}
    assert wakes == [{COLLECT_SHARD: 2}, {COLLECT_SHARD: 1}, {}]
    assert ends == [{}, {}, {MERGE_SAE: MAX_NOTICES}]


def touched(session: Session) -> int:
    """Return how many steps this transaction has read so far."""
    return int(
        session.execute(
            text(
                "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
                " WHERE relname = 'step'"
            )
        ).scalar_one()
    )


def test_a_claim_and_its_end_read_few_of_many_steps(session: Session) -> None:
    shards = 5_000
    for _ in range(2):
        merge = NewStep(kind=MERGE_SAE, stage=1, title="Merge")
        job = create_job(session, "t", "T", [merge])
        row = {
            "job_id": job.id,
            "kind": COLLECT_SHARD,
            "stage": 0,
            "title": "Shard",
            "parameters": {},
        }
        session.execute(insert(Step), [row] * shards)
    session.execute(text("ANALYZE step"))
    claim_step(session, *KINDS, worker="w", lease_s=60, max_attempts=3)
    before = touched(session)

    for _ in range(10):
        held = claim_step(session, *KINDS, worker="w", lease_s=60, max_attempts=3)
        assert held is not None
        finish_step(session, held)
    due_kinds(session, at_most=MAX_NOTICES)

    # Rows that were ended in this very transaction are passed over again each time.
    assert touched(session) - before < shards / 4
