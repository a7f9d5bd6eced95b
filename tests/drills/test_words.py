"""Kill what labelling by a language model rests on, and no answer is lost, doubled or half.

Real Celery workers ask a server that fails by plan. `make drill` does it longer: `DRILL_FEATURES`
features, and a kill in every batch but the last.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from benchmarks.labels.killed import SHARES
from benchmarks.labels.planted_dictionary import (
    ask_for_words,
    origins_by_feature,
    outcomes_by_feature,
    plant_features,
    say_keywords,
    throwaway_database,
)
from benchmarks.labels.stubs.faults import StubServer
from benchmarks.labels.stubs.plan import Faults
from sqlalchemy.exc import SQLAlchemyError
from tests.drills.workers import CeleryWorker, until

from scopebook import notices
from scopebook.db.jobs import Job
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.settings import settings, use_settings
from scopebook.sweep import sweep
from scopebook_workers.tasks.word import BATCH

FEATURES = int(os.environ.get("DRILL_FEATURES", "300"))
#: Down for longer than a batch takes, and shorter than a lease.
AWAY_S = 1.5
#: A killed worker's step waits until its lease ends. A living worker must not lose its own, on
#: however busy a machine: the batch would be asked twice.
LEASE_S = {"worker": "4", "database": "60", "broker": "60"}
#: What hangs is given up after this; an answer that is only slow to be read must not be.
PATIENCE_S = 10.0
WITHIN_S = 600.0


@dataclass
class Parts:
    """What labelling rests on, and ways to kill it and bring it back."""

    database: EmbeddedPostgres
    broker: EmbeddedValkey
    folder: Path
    workers: list[CeleryWorker] = field(default_factory=list)

    def start_worker(self) -> None:
        log = self.folder / f"worker-{len(self.workers)}.log"
        self.workers.append(CeleryWorker(log, processes=1))

    def kill_worker(self) -> None:
        self.workers[-1].kill()
        self.start_worker()

    def kill_database(self) -> None:
        assert self.database.pid is not None
        os.kill(self.database.pid, signal.SIGKILL)
        time.sleep(AWAY_S)
        self.database.start()

    def kill_broker(self) -> None:
        self.broker.kill()
        time.sleep(AWAY_S)
        self.broker.start()


KILLS: dict[str, Callable[[Parts], None]] = {
    "worker": Parts.kill_worker,
    "database": Parts.kill_database,
    "broker": Parts.kill_broker,
}


@pytest.fixture
def parts(victim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    """A database, a broker, a sweep and one Celery worker."""
    monkeypatch.setenv("SCOPEBOOK_LEASE_S", LEASE_S[victim])
    with throwaway_database() as database:
        broker = EmbeddedValkey(tmp_path / "valkey")
        broker.start()
        chosen = {"broker_url": broker.url(), "llm_timeout_s": PATIENCE_S}
        use_settings(settings().model_copy(update=chosen))
        notices._sender.cache_clear()
        stop = threading.Event()
        swept = threading.Thread(
            target=sweep, args=(sessions(),), kwargs={"interval_s": 0.3, "stop": stop}
        )
        swept.start()
        parts = Parts(database, broker, tmp_path)
        parts.start_worker()
        yield parts
        stop.set()
        swept.join()
        for worker in parts.workers:
            worker.kill()
        broker.stop()
        notices._sender.cache_clear()


def state_of(job_id: int) -> str | None:
    """Return the job's state, or None while the database is away."""
    try:
        with unit_of_work(sessions()) as session:
            return session.get_one(Job, job_id).state
    except SQLAlchemyError:
        return None


@pytest.mark.parametrize("victim", KILLS)
def test_a_kill_loses_no_outcome_doubles_none_and_costs_one_batch_at_most(
    victim: str, parts: Parts
) -> None:
    with unit_of_work(sessions()) as session:
        sae, run = plant_features(session, FEATURES)
    with StubServer(say_keywords, delay_s=0.1, faults=Faults(shares=SHARES)) as server:
        with unit_of_work(sessions()) as session:
            job_id = ask_for_words(session, sae, run, server.url, parallel=16)
        hit = []
        for batch in range(1, FEATURES // BATCH):
            until(lambda at=batch: server.counts().requests > at * BATCH + 24, within_s=WITHIN_S)
            KILLS[victim](parts)
            hit.append(state_of(job_id))
        until(lambda: state_of(job_id) in ("done", "failed"), within_s=WITHIN_S)
        counts = server.counts()

    assert hit == ["running"] * len(hit) != []
    assert state_of(job_id) == "done"
    assert outcomes_by_feature(sessions()) == origins_by_feature(sessions())
    assert list(outcomes_by_feature(sessions()).values()) == [1] * FEATURES
    assert counts.answered_twice <= (BATCH * len(hit) if victim == "worker" else 0)
    assert set(counts.faults) == set(SHARES)
    assert counts.mistakes == []
