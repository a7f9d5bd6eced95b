"""The pool as an instance runs it: Celery on a real broker, two processes, a real collection."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from kombu import Connection
from sqlalchemy import select
from tests.drills.workers import until
from tests.tiny_collections import ask_for_collection, do_all_steps, evidence_of, make_tiny

from scopebook import notices
from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.jobs import COLLECT_SHARD, QUEUES
from scopebook.settings import Settings, settings, use_settings
from scopebook.sweep import sweep_once

WITHIN_S = 300.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


class Pool:
    """A Celery worker with two pool processes, with its own session and log."""

    def __init__(
        self,
        chosen: Settings,
        log: Path,
        *before: str,
        celery: Sequence[str] = ("-m", "celery"),
        processes: int = 2,
    ) -> None:
        self.log = log
        self.processes = processes
        variables = {
            "SCOPEBOOK_DATABASE_URL": chosen.database_url or "",
            "SCOPEBOOK_BROKER_URL": chosen.broker_url or "",
            "SCOPEBOOK_DATA_DIR": str(chosen.data_dir),
            "SCOPEBOOK_SHARD_TOKENS": "60",
            "SCOPEBOOK_WORKERS": str(processes),
        }
        argv = ["-A", "scopebook_workers.app:app", "worker", "-Q", ",".join(QUEUES)]
        argv += ["--without-mingle", "--without-gossip", "-l", "INFO"]
        with log.open("wb") as file:
            self.master = subprocess.Popen(
                [*before, sys.executable, *celery, *argv],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    def children(self) -> list[psutil.Process]:
        return list(psutil.Process(self.master.pid).children())

    def kill(self) -> None:
        self.master.kill()
        self.master.wait()


@pytest.fixture
def pool(
    request: pytest.FixtureRequest, worker: Sessions, broker: EmbeddedValkey, tmp_path: Path
) -> Iterator[Pool]:
    use_settings(settings().model_copy(update={"broker_url": broker.url()}))
    notices._sender.cache_clear()
    pool = Pool(settings(), tmp_path / "workers.log", *getattr(request, "param", ()))
    yield pool
    pool.kill()
    notices._sender.cache_clear()


def wait_for_end(sessions: Sessions, pool: Pool) -> str:
    waiting = threading.Event()
    for _ in range(int(WITHIN_S / 0.5)):
        with sessions() as session:
            state = session.scalars(select(Job.state)).one()
        if state in ("done", "failed"):
            return state
        sweep_once(sessions)
        waiting.wait(0.5)
    raise AssertionError(f"no end within {WITHIN_S} s:\n{pool.log.read_text()[-4000:]}")


def maps_torch(process: psutil.Process) -> bool:
    return any("libtorch" in mapped.path for mapped in process.memory_maps())


def test_two_pool_processes_do_a_collection_and_torch_stays_out_of_the_master(
    worker: Sessions, pool: Pool, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker)

    state = wait_for_end(worker, pool)

    assert state == "done", pool.log.read_text()[-4000:]
    with worker() as session:
        steps = session.execute(select(Step.attempt, Step.worker, Step.kind)).all()
    assert {step.attempt for step in steps} == {1}
    assert {step.worker for step in steps} <= {
        f"{os.uname().nodename}:{child.pid}" for child in pool.children()
    }
    assert not maps_torch(psutil.Process(pool.master.pid))
    assert any(maps_torch(child) for child in pool.children())
    again = ask_for_collection(worker)
    pool.kill()
    do_all_steps()
    assert evidence_of(worker, again) == evidence_of(worker, run_id)


def wait_for_children(pool: Pool) -> list[psutil.Process]:
    waiting = threading.Event()
    for _ in range(int(WITHIN_S / 0.1)):
        if b"ready" in pool.log.read_bytes() and len(pool.children()) == pool.processes:
            return pool.children()
        waiting.wait(0.1)
    raise AssertionError(pool.log.read_text()[-4000:])


def test_pool_processes_die_with_a_killed_master(pool: Pool) -> None:
    children = wait_for_children(pool)

    pool.kill()

    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_a_stopped_pool_ends_by_itself(pool: Pool) -> None:
    children = wait_for_children(pool)

    pool.master.send_signal(signal.SIGTERM)

    assert pool.master.wait(30) == 0
    assert not any(child.is_running() for child in children)


def test_a_pool_whose_terminal_is_closed_ends_in_good_order(pool: Pool) -> None:
    children = wait_for_children(pool)

    os.killpg(pool.master.pid, signal.SIGHUP)

    assert pool.master.wait(30) == 0, pool.log.read_text()[-4000:]
    assert b"Traceback" not in pool.log.read_bytes()
    assert not any(child.is_running() for child in children)


@pytest.mark.parametrize("pool", [("nohup",)], indirect=True)
def test_a_pool_under_nohup_outlives_its_terminal(pool: Pool) -> None:
    children = wait_for_children(pool)

    os.killpg(pool.master.pid, signal.SIGHUP)

    with pytest.raises(subprocess.TimeoutExpired):
        pool.master.wait(3)
    assert pool.children() == children
    pool.master.send_signal(signal.SIGTERM)
    assert pool.master.wait(30) == 0


def test_a_pool_whose_connection_for_commands_ends_reads_from_its_queues_again(
    pool: Pool, broker: EmbeddedValkey
) -> None:
    """As after a cut, when the end of that one is heard first and the broker answers again."""
    wait_for_children(pool)
    with Connection(broker.url()) as connection:
        server: Any = connection.default_channel
        until(lambda: server.client.client_kill_filter(_type="pubsub"))

        until(lambda: server.client.client_list(_type="pubsub"), within_s=60)
        taken = looks_taken(pool)
        notices.send(COLLECT_SHARD)
        until(lambda: looks_taken(pool) > taken, within_s=60)


#: Celery, waiting for its broker for less long than else, so that the test need not.
IMPATIENT = """
from celery.__main__ import main
from scopebook import notices

notices.celery_options.__kwdefaults__["patience_s"] = 1.0
main()
"""


def test_a_broker_that_could_not_be_told_what_is_done_is_read_from_again(
    worker: Sessions, broker: EmbeddedValkey, tmp_path: Path
) -> None:
    use_settings(settings().model_copy(update={"broker_url": broker.url()}))
    notices._sender.cache_clear()
    pool = Pool(settings(), tmp_path / "workers.log", celery=("-c", IMPATIENT), processes=1)
    assert broker.pid is not None
    try:
        [child] = wait_for_children(pool)
        child.suspend()
        notices.send(COLLECT_SHARD, count=4)
        until(lambda: looks_taken(pool) == 1)
        os.kill(broker.pid, signal.SIGSTOP)
        child.resume()
        threading.Event().wait(8)
        os.kill(broker.pid, signal.SIGCONT)

        until(lambda: looks_taken(pool) == 4, within_s=60)
    finally:
        pool.kill()
        os.kill(broker.pid, signal.SIGCONT)
        notices._sender.cache_clear()


def looks_taken(pool: Pool) -> int:
    return len(re.findall(rf"Task {COLLECT_SHARD}\[.*\] received", pool.log.read_text()))


def test_every_kind_of_step_has_a_task_and_a_module() -> None:
    program = (
        "import sys, importlib.util as u\n"
        "from scopebook.jobs import QUEUE_OF\n"
        "from scopebook_workers.app import app\n"
        "from scopebook_workers.tasks import MODULE_OF\n"
        "assert set(QUEUE_OF) <= set(app.tasks), set(QUEUE_OF) - set(app.tasks)\n"
        "assert set(QUEUE_OF) == set(MODULE_OF)\n"
        "assert all(u.find_spec(name) for name in MODULE_OF.values())\n"
        "assert 'torch' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
