"""A full disk, a cancel, a frozen worker, a killed database: nothing is lost, doubled or half."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Row, select
from tests.drills.workers import LoneWorker, until
from tests.tiny_collections import RELEASE, ask_for_collection, do_all_steps, make_tiny

from scopebook.db.jobs import Job, Step
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.tables import Shard
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.fingerprint import fingerprint
from scopebook.jobs import COLLECT_SHARD, PLAN_RUN, TOKENISE_CORPUS
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import cancel_job, retry_job
from scopebook_workers.claims import work_off


def taken(factory: Sessions) -> str:
    with unit_of_work(factory) as session:
        return fingerprint(session, RELEASE).fingerprint


def undisturbed(factory: Sessions, folder: Path) -> str:
    """Make the tiny instance, collect in peace, and return the fingerprint."""
    use_settings(settings().model_copy(update={"shard_tokens": 40}))
    make_tiny(factory, folder)
    ask_for_collection(factory)
    do_all_steps()
    return taken(factory)


def planned(factory: Sessions) -> int:
    """Ask for a collection and cut it into shards; return the job's id."""
    ask_for_collection(factory)
    work_off(TOKENISE_CORPUS)
    work_off(PLAN_RUN)
    with factory() as session:
        return session.scalars(select(Job.id).order_by(Job.id.desc())).first() or 0


def shard_steps(factory: Sessions, job_id: int) -> list[Row[str, int, str, str]]:
    with factory() as session:
        return list(
            session.execute(
                select(Step.state, Step.attempt, Step.worker, Step.error)
                .where(Step.job_id == job_id, Step.kind == COLLECT_SHARD)
                .order_by(Step.id)
            )
        )


def states(factory: Sessions, job_id: int) -> list[str]:
    return [step.state for step in shard_steps(factory, job_id)]


def job_of(factory: Sessions, job_id: int) -> Row[str, str]:
    with factory() as session:
        return session.execute(select(Job.state, Job.error).where(Job.id == job_id)).one()


def artifacts_of(factory: Sessions, job_id: int) -> list[str]:
    """Return the results that the job's shards name, in order."""
    with factory() as session:
        ids = [
            parameters["shard_id"]
            for parameters in session.scalars(
                select(Step.parameters).where(Step.job_id == job_id, Step.kind == COLLECT_SHARD)
            )
        ]
        shards = select(Shard.artifact).where(Shard.id.in_(ids)).order_by(Shard.id)
        return [name for name in session.scalars(shards) if name is not None]


def half_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "artifacts").rglob(".*") if path.is_file()]


def test_a_full_disk_fails_the_shards_and_a_retry_mends_them(
    worker: Sessions, lone_worker: LoneWorker, tmp_path: Path
) -> None:
    wanted = undisturbed(worker, tmp_path)
    job_id = planned(worker)

    lone_worker.start(largest_file=4096)
    until(lambda: job_of(worker, job_id).state == "failed")
    failed = shard_steps(worker, job_id)
    failed_job, failed_artifacts = job_of(worker, job_id), artifacts_of(worker, job_id)
    lone_worker.kill()
    with worker.begin() as session:
        retry_job(session, job_id)
    do_all_steps()

    assert {step.state for step in failed} == {"failed"}
    assert all("could not be written to" in (step.error or "") for step in failed)
    assert f"({len(failed)} of {len(failed)} shards failed" in (failed_job.error or "")
    assert failed_artifacts == []
    assert job_of(worker, job_id).state == "done"
    assert half_files(tmp_path) == []
    assert taken(worker) == wanted


def test_a_cancel_stops_soon_and_a_retry_goes_on(
    worker: Sessions, lone_worker: LoneWorker, tmp_path: Path
) -> None:
    wanted = undisturbed(worker, tmp_path)
    job_id = planned(worker)
    lone_worker.start(pause_s=0.15)
    until(lambda: states(worker, job_id).count("done") >= 2)
    lone_worker.wait_inside(after=lone_worker.reports())

    begun = time.monotonic()
    with worker.begin() as session:
        cancel_job(session, job_id)
    until(lambda: job_of(worker, job_id).state == "cancelled")
    took_s = time.monotonic() - begun
    cancelled, kept = states(worker, job_id), artifacts_of(worker, job_id)
    lone_worker.kill()
    with worker.begin() as session:
        retry_job(session, job_id)
    work_off(COLLECT_SHARD)
    in_the_end = artifacts_of(worker, job_id)
    do_all_steps()

    assert took_s < 5.0  # within a second, where nothing else is done meanwhile
    assert set(cancelled) == {"done", "cancelled"}
    assert len(kept) == cancelled.count("done") >= 2
    assert set(kept) <= set(in_the_end)
    assert job_of(worker, job_id).state == "done"
    assert taken(worker) == wanted


def test_a_worker_that_was_frozen_longer_than_its_lease_writes_nothing_when_it_wakes(
    worker: Sessions, lone_worker: LoneWorker, tmp_path: Path
) -> None:
    wanted = undisturbed(worker, tmp_path)
    job_id = planned(worker)
    lone_worker.start(lease_s=1.0, pause_s=0.3)
    lone_worker.wait_inside()

    lone_worker.send(signal.SIGSTOP)
    # The work goes on without it: its step is taken over once its lease has run out.
    until(lambda: work_off(COLLECT_SHARD) == 0 and set(states(worker, job_id)) == {"done"})
    ended, artifacts = shard_steps(worker, job_id), artifacts_of(worker, job_id)
    lone_worker.send(signal.SIGCONT)
    until(lambda: b"given to another worker" in lone_worker.log.read_bytes())
    after_waking = artifacts_of(worker, job_id)
    do_all_steps()

    assert [step.attempt for step in ended].count(2) == 1
    assert not any((step.worker or "").endswith(f":{lone_worker.pid}") for step in ended)
    assert shard_steps(worker, job_id) == ended
    assert after_waking == artifacts
    assert len(set(artifacts)) == len(ended)
    assert half_files(tmp_path) == []
    assert taken(worker) == wanted


@pytest.fixture
def own_database(worker: Sessions) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, which it may kill; the settings lead to it."""
    home = Path(tempfile.mkdtemp(prefix="scopebook-drill-"))
    home.chmod(0o755)
    server = EmbeddedPostgres(home)
    server.start()
    upgrade(server.url())
    use_settings(Settings(database_url=server.url(), data_dir=home, broker_url=None))
    sessions.cache_clear()
    yield server
    sessions().kw["bind"].dispose()
    server.stop()
    server.remove()
    shutil.rmtree(home, ignore_errors=True)


def test_a_database_killed_under_a_worker_costs_no_shard(
    own_database: EmbeddedPostgres, lone_worker: LoneWorker, tmp_path: Path
) -> None:
    factory = sessions()
    wanted = undisturbed(factory, tmp_path)
    job_id = planned(factory)
    lone_worker.start(pause_s=0.05)
    for _ in range(2):
        # Down for longer than any shard takes: an end falls into it.
        lone_worker.wait_inside(after=lone_worker.reports())
        assert own_database.pid is not None
        os.kill(own_database.pid, signal.SIGKILL)
        time.sleep(1.5)
        own_database.start()
    until(lambda: set(states(factory, job_id)) == {"done"})
    lone_worker.kill()
    steps, artifacts = shard_steps(factory, job_id), artifacts_of(factory, job_id)
    do_all_steps()

    assert {step.attempt for step in steps} == {1}
    assert {step.worker for step in steps} == {steps[0].worker}
    assert len(set(artifacts)) == len(steps)
    assert job_of(factory, job_id).state == "done"
    assert b"waits for it" in lone_worker.log.read_bytes()
    assert taken(factory) == wanted
