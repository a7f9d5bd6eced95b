import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Corpus
from scopebook.errors import InvalidInputError
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, TEST_PRESET
from scopebook.steps import Claim, NewStep, cancel_job, create_job, renew_step
from scopebook_workers import claims, process
from scopebook_workers.claims import Finish, Progress, step_task, work_off


@pytest.fixture(autouse=True)
def _own_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_works", {})


def make_job(sessions: Sessions, steps: int = 1, kind: str = COLLECT_SHARD) -> int:
    with sessions.begin() as session:
        new = [
            NewStep(kind=kind, stage=0, title=f"Part {i}", parameters={"name": f"text {i}"})
            for i in range(steps)
        ]
        return create_job(session, "collect", "Collect", new).id


def add_named(claim: Claim) -> Finish:
    """Return a finish that adds a corpus: a row whose number shows how often it ran."""

    def write(session: Session) -> None:
        session.add(Corpus(name=f"{claim.parameters['name']}, {claim.attempt}", source=""))

    return write


def states(sessions: Sessions, job_id: int) -> tuple[str, list[str]]:
    with sessions() as session:
        job = session.scalars(select(Job.state).where(Job.id == job_id)).one()
        steps = select(Step.state).where(Step.job_id == job_id).order_by(Step.id)
        return job, list(session.scalars(steps))


def error_of(sessions: Sessions, job_id: int) -> str | None:
    with sessions() as session:
        return session.scalar(select(Job.error).where(Job.id == job_id))


def rows(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(Corpus.name).order_by(Corpus.name)))


def test_all_due_steps_of_a_kind_are_done_and_their_results_kept(worker: Sessions) -> None:
    job_id = make_job(worker, steps=3)
    step_task(COLLECT_SHARD)(lambda claim, progress: add_named(claim))

    done = work_off(COLLECT_SHARD)

    assert done == 3
    assert states(worker, job_id) == ("done", ["done"] * 3)
    assert rows(worker) == ["text 0, 1", "text 1, 1", "text 2, 1"]


def test_what_becomes_urgent_is_done_before_the_rest_of_a_run(worker: Sessions) -> None:
    make_job(worker, steps=3)
    order = []

    @step_task(COLLECT_SHARD)
    def ask_for_more(claim: Claim, progress: Progress) -> Finish:
        if not order:
            make_job(worker, kind=TEST_PRESET)
        order.append(claim.kind)
        return lambda session: None

    @step_task(TEST_PRESET)
    def note(claim: Claim, progress: Progress) -> Finish:
        order.append(claim.kind)
        return lambda session: None

    done = work_off(COLLECT_SHARD, TEST_PRESET)

    assert done == 4
    assert order == [COLLECT_SHARD, TEST_PRESET, COLLECT_SHARD, COLLECT_SHARD]


def test_steps_that_only_the_work_could_know_of_follow(worker: Sessions) -> None:
    job_id = make_job(worker)
    following = [NewStep(kind=MERGE_SAE, stage=1, title="Merge")]
    step_task(COLLECT_SHARD)(lambda claim, progress: lambda session: following)

    work_off(COLLECT_SHARD)

    assert states(worker, job_id) == ("running", ["done", "queued"])


def test_a_refusal_fails_the_job_with_its_sentence(worker: Sessions) -> None:
    job_id = make_job(worker, steps=2)

    @step_task(COLLECT_SHARD)
    def refuse(claim: Claim, progress: Progress) -> Finish:
        raise InvalidInputError("The corpus is empty; add text to it.")

    work_off(COLLECT_SHARD)

    assert states(worker, job_id) == ("failed", ["failed", "failed"])
    assert error_of(worker, job_id) == (
        "The corpus is empty; add text to it. "
        "(2 of 2 shards failed; a retry does only these again.)"
    )


def test_a_shard_that_fails_leaves_the_others_to_be_done(worker: Sessions) -> None:
    job_id = make_job(worker, steps=3)

    @step_task(COLLECT_SHARD)
    def refuse_one(claim: Claim, progress: Progress) -> Finish:
        if claim.parameters["name"] == "text 1":
            raise InvalidInputError("Text 1 is no text.")
        return add_named(claim)

    done = work_off(COLLECT_SHARD)

    assert done == 2
    assert states(worker, job_id) == ("failed", ["done", "failed", "done"])
    assert rows(worker) == ["text 0, 1", "text 2, 1"]


def test_an_unforeseen_error_is_tried_again_and_then_fails_the_job(worker: Sessions) -> None:
    job_id = make_job(worker)

    @step_task(COLLECT_SHARD)
    def stumble(claim: Claim, progress: Progress) -> Finish:
        raise RuntimeError(f"no memory at attempt {claim.attempt}")

    after_each = []
    for _ in range(3):
        work_off(COLLECT_SHARD)
        after_each.append(states(worker, job_id)[0])

    assert after_each == ["running", "running", "failed"]
    assert error_of(worker, job_id) == (
        "RuntimeError: no memory at attempt 3 (the worker's log has more)"
    )


def test_results_are_undone_when_writing_them_fails(worker: Sessions) -> None:
    make_job(worker)

    @step_task(COLLECT_SHARD)
    def write_twice(claim: Claim, progress: Progress) -> Finish:
        def write(session: Session) -> None:
            session.add(Corpus(name="once", source=""))
            session.flush()
            session.execute(text("SELECT 1 / 0"))

        return write

    work_off(COLLECT_SHARD)

    assert rows(worker) == []


def until_told(told: Callable[[], None]) -> Callable[[Claim, Progress], Finish]:
    """Return work that says it has begun, then reports progress until that raises."""

    def work(claim: Claim, progress: Progress) -> Finish:
        told()
        for done in range(10_000):
            progress(done, 10_000, "batches")
            threading.Event().wait(0.01)
        return add_named(claim)

    return work


def test_a_cancelled_job_stops_at_its_next_progress(worker: Sessions) -> None:
    job_id = make_job(worker, steps=2)

    def cancel() -> None:
        with worker.begin() as session:
            cancel_job(session, job_id)

    step_task(COLLECT_SHARD)(until_told(cancel))

    work_off(COLLECT_SHARD)

    assert states(worker, job_id) == ("cancelled", ["cancelled", "cancelled"])
    assert rows(worker) == []


def test_a_stopping_worker_gives_its_step_back_uncounted(
    worker: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job(worker)
    monkeypatch.setattr(process, "_stopping", bytearray(1))
    step_task(COLLECT_SHARD)(until_told(process.stop))

    work_off(COLLECT_SHARD)

    with worker() as session:
        assert session.execute(select(Step.state, Step.attempt)).all() == [("queued", 0)]


def test_a_worker_that_was_taken_for_dead_writes_nothing(
    worker: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job(worker)
    monkeypatch.setattr(Progress, "_renew", lambda progress: None)
    attempts: list[int] = []

    @step_task(COLLECT_SHARD)
    def outlive_the_lease(claim: Claim, progress: Progress) -> Finish:
        attempts.append(claim.attempt)
        if claim.attempt == 1:
            with worker.begin() as session:
                session.execute(text("UPDATE step SET lease_until = now() - interval '1 s'"))
            work_off(COLLECT_SHARD)
        return add_named(claim)

    work_off(COLLECT_SHARD)

    assert attempts == [1, 2]
    assert rows(worker) == ["text 0, 2"]


def test_parts_of_a_lost_claim_are_not_committed(worker: Sessions) -> None:
    make_job(worker)

    @step_task(COLLECT_SHARD)
    def commit_a_part(claim: Claim, progress: Progress) -> Finish:
        with worker.begin() as session:
            session.execute(text("UPDATE step SET fence = fence + 1"))
        with worker.begin() as session:
            session.add(Corpus(name="a part", source=""))
            progress.hold(session)
        return add_named(claim)

    work_off(COLLECT_SHARD)

    assert rows(worker) == []


def test_progress_is_seen_while_the_work_goes_on(worker: Sessions) -> None:
    make_job(worker)
    seen: list[tuple[int, int, str]] = []

    @step_task(COLLECT_SHARD)
    def report(claim: Claim, progress: Progress) -> Finish:
        progress(7, 9, "tokens")
        while not seen:
            with worker() as session:
                row = session.execute(select(Step.done, Step.total, Step.unit)).one()
            if row.total:
                seen.append((row.done, row.total, row.unit))
        return add_named(claim)

    work_off(COLLECT_SHARD)

    assert seen == [(7, 9, "tokens")]


def test_a_step_that_reports_nothing_notices_that_it_was_cancelled(worker: Sessions) -> None:
    job_id = make_job(worker)
    stopped_after: list[float] = []

    @step_task(COLLECT_SHARD)
    def compute_for_long(claim: Claim, progress: Progress) -> Finish:
        with worker.begin() as session:
            cancel_job(session, job_id)
        threading.Event().wait(1.0)
        begun = time.monotonic()
        try:
            progress(1, 2, "batches")
        finally:
            stopped_after.append(time.monotonic() - begun)
        return add_named(claim)

    work_off(COLLECT_SHARD)

    assert states(worker, job_id) == ("cancelled", ["cancelled"])
    assert stopped_after[0] < 0.1


def test_an_end_whose_answer_was_lost_stands_once(
    worker: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = make_job(worker)
    ends: list[int] = []

    @contextmanager
    def lose_the_first_answer(factory: Sessions) -> Iterator[Session]:
        with unit_of_work(factory) as session:
            yield session
            ended = session.scalar(select(Step.state)) == "done"
        ends.append(1 if ended else 0)
        if sum(ends) == 1 and ended:
            raise OperationalError("COMMIT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(claims, "unit_of_work", lose_the_first_answer)
    step_task(COLLECT_SHARD)(lambda claim, progress: add_named(claim))

    done = work_off(COLLECT_SHARD)

    assert done == 1
    assert sum(ends) >= 2
    assert states(worker, job_id) == ("done", ["done"])
    assert rows(worker) == ["text 0, 1"]


def test_a_worker_that_freezes_in_a_transaction_does_not_keep_its_step(worker: Sessions) -> None:
    make_job(worker)
    first = claims._claim([COLLECT_SHARD], woken=False)
    assert first is not None

    def freeze() -> None:
        with claims._unit(worker, 0.2) as session:
            renew_step(session, first, lease_s=0.01)
            threading.Event().wait(0.6)
            session.execute(text("SELECT 1"))

    with pytest.raises(InternalError, match="idle-in-transaction timeout"):
        freeze()
    with worker.begin() as session:
        session.execute(text("UPDATE step SET lease_until = now() - interval '1 s'"))
    second = claims._claim([COLLECT_SHARD], woken=False)

    assert second is not None
    assert second.fence == first.fence + 1


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_looked_for_after_an_import_as_before_it(
    monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    monkeypatch.setattr(gc, "isenabled", lambda: enabled)
    turned: list[str] = []
    monkeypatch.setattr(gc, "disable", lambda: turned.append("off"))
    monkeypatch.setattr(gc, "enable", lambda: turned.append("on"))

    def broken(name: str) -> None:
        turned.append("import")
        raise ImportError(name)

    monkeypatch.setattr(claims, "import_module", broken)
    with pytest.raises(ImportError):
        claims._work_of(COLLECT_SHARD)

    assert turned == ["off", "import", *(["on"] if enabled else [])]


HOLDER = """
import sys, threading
from scopebook.jobs import COLLECT_SHARD
from scopebook_workers.claims import step_task, work_off

@step_task(COLLECT_SHARD)
def hold(claim, progress):
    print("held", flush=True)
    while True:
        progress(1, 2, "batches")
        threading.Event().wait(0.05)

work_off(COLLECT_SHARD)
"""


def test_the_step_of_a_killed_worker_is_done_once_by_another(
    worker: Sessions, database_url: str, tmp_path: Path
) -> None:
    job_id = make_job(worker)
    environment = {
        **os.environ,
        "SCOPEBOOK_DATABASE_URL": database_url,
        "SCOPEBOOK_LEASE_S": "0.5",
    }
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, env=environment, cwd=tmp_path
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
    step_task(COLLECT_SHARD)(lambda claim, progress: add_named(claim))

    while_held = work_off(COLLECT_SHARD)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with worker() as session:
        session.execute(
            select(func.pg_sleep(func.extract("epoch", Step.lease_until - func.now()) + 0.05))
        )
    after_the_lease = work_off(COLLECT_SHARD)

    assert (while_held, after_the_lease) == (0, 1)
    assert states(worker, job_id) == ("done", ["done"])
    assert rows(worker) == ["text 0, 2"]
