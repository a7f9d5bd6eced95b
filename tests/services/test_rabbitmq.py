"""A RabbitMQ that loses patience with notices in hand costs no step and no worker."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.drills.workers import until
from tests.services.brokers import Rabbit
from tests.workers.conftest import worker

from scopebook import notices
from scopebook.db.jobs import Step
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.jobs import TOKENISE_CORPUS
from scopebook.settings import settings, use_settings
from scopebook.steps import NewStep, create_job

__all__ = ["worker"]

#: Milliseconds; it gives half an hour by itself, and looks once a minute.
_IMPATIENT = "{consumer_timeout, 3000}, {channel_tick_interval, 500}"
#: A worker whose steps take ten seconds.
_PROGRAM = """
import sys, time
from scopebook_workers import claims, held_notices

held_notices.HOLD_S, held_notices.LOOK_S = float(sys.argv[1]), 0.2

@claims.step_task("corpus.tokenise")
def work(claim, progress):
    for done in range(50):
        progress(done, 50, "parts")
        time.sleep(0.2)
    return lambda session: None

from scopebook_workers.app import app

options = "worker -Q cpu -c 1 -l INFO -n one@%h --without-mingle --without-gossip"
app.worker_main(options.split())
"""


@pytest.fixture(scope="module")
def impatient() -> Iterator[Rabbit]:
    with tempfile.TemporaryDirectory() as folder:
        server = Rabbit(Path(folder), host="127.0.0.1", start=subprocess.Popen, config=_IMPATIENT)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.mark.parametrize(
    ("hold_s", "lost"), [(0.5, False), (3600.0, True)], ids=["acknowledged", "held for ever"]
)
def test_a_notice_in_hand_behind_a_long_step_costs_nothing(
    worker: Sessions, impatient: Rabbit, tmp_path: Path, hold_s: float, lost: bool
) -> None:
    _use(impatient)
    log = tmp_path / "worker.log"
    ask(worker)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(hold_s)],
            env=_variables(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: running(worker) == 1)
        # Nothing is due, but the worker is told: this one it holds in hand.
        notices.send(TOKENISE_CORPUS)
        until(lambda: done(worker) == 1)
        ask(worker)
        until(lambda: done(worker) == 2)
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(120)
        notices._sender.cache_clear()

    said = log.read_text()
    assert attempts(worker) == [1, 1]
    assert ("PRECONDITION_FAILED" in said) is lost, said
    assert "Unrecoverable error" not in said


def _use(broker: Rabbit) -> None:
    use_settings(settings().model_copy(update={"broker_url": broker.url()}))
    notices._sender.cache_clear()


def _variables() -> dict[str, str]:
    return {
        **os.environ,
        "SCOPEBOOK_DATABASE_URL": settings().database_url or "",
        "SCOPEBOOK_BROKER_URL": settings().broker_url or "",
        "SCOPEBOOK_DATA_DIR": str(settings().data_dir),
    }


def ask(factory: Sessions) -> None:
    with unit_of_work(factory) as session:
        create_job(session, "corpus", "Wait", [NewStep(kind=TOKENISE_CORPUS, stage=0, title="x")])


def _count(factory: Sessions, state: str) -> int:
    with factory() as session:
        counted = select(func.count()).select_from(Step).where(Step.state == state)
        return session.scalar(counted) or 0


def running(factory: Sessions) -> int:
    return _count(factory, "running")


def done(factory: Sessions) -> int:
    return _count(factory, "done")


def attempts(factory: Sessions) -> list[int]:
    with factory() as session:
        return list(session.scalars(select(Step.attempt).order_by(Step.id)))
