"""Workers tell that they live and what they do: numbers move when things happen."""

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from tests.apps import app_over
from tests.drills.workers import CeleryWorker, until
from tests.tiny_collections import TEXTS, ask_for_collection, do_all_steps, make_tiny

from scopebook import meters
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.heartbeats import flush_meters, list_workers
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE
from scopebook.log_fields import log_fields
from scopebook.settings import settings, use_settings
from scopebook.steps import NewStep, create_job
from scopebook.sweep import sweep_once
from scopebook_workers import claims, heartbeat, process
from scopebook_workers.claims import Claim, Finish, Progress, step_task, work_off


@pytest.fixture(autouse=True)
def _count_from_nothing() -> None:
    meters.take()


def totals(factory: Sessions) -> dict[str, float]:
    """Return the counters that a scrape tells, by name and the values of their labels."""
    with TestClient(
        app_over(factory), base_url="http://localhost:8000", client=("127.0.0.1", 5)
    ) as client:
        text = client.get("/metrics").text
    return {
        " ".join([sample.name.removeprefix("scopebook_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_collection_moves_the_counters_of_tokens_and_steps(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    flush_meters(worker)

    found = totals(worker)

    with worker() as session:
        collected = session.connection().exec_driver_sql(
            "SELECT sum(done), count(*) FROM step WHERE kind = 'shard.collect'"
        )
        tokens, shards = collected.one()
    assert tokens > len(TEXTS)
    assert found["tokens_read_total shard.collect"] == tokens
    assert found["steps_ended_total shard.collect done"] == shards
    assert found["steps gpu waiting"] == 0
    assert found["steps_ended_total sae.merge done"] == 2


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, object]]]:
    monkeypatch.setattr(claims, "_works", {})
    lines: list[dict[str, object]] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(  # type: ignore[method-assign]
        {"message": record.getMessage(), **log_fields()}
    )
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def test_every_line_of_a_step_names_it(worker: Sessions, kept: list[dict[str, object]]) -> None:
    with unit_of_work(worker) as session:
        steps = [NewStep(kind=MERGE_SAE, stage=0, title=f"Part {n}") for n in range(2)]
        job_id = create_job(session, "t", "T", steps).id

    @step_task(MERGE_SAE)
    def say(claim: Claim, progress: Progress) -> Finish:
        logging.getLogger("some.library").warning("said inside")
        if claim.title == "Part 1":
            raise RuntimeError("no luck")
        return lambda _: None

    work_off(MERGE_SAE)
    logging.getLogger("some.library").warning("said after")

    inside = [line for line in kept if line["message"] == "said inside"]
    assert [line["job"] for line in inside] == [job_id, job_id]
    assert len({line["step"] for line in inside}) == 2
    assert {(line["kind"], line["attempt"]) for line in inside} == {(MERGE_SAE, 1)}
    failed = next(line for line in kept if "failed" in str(line["message"]))
    assert failed["step"] == inside[1]["step"]
    assert "step" not in kept[-1]


def test_a_lost_lease_is_counted_once_by_who_takes_the_step_over(
    worker: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_works", {})
    with unit_of_work(worker) as session:
        create_job(session, "t", "T", [NewStep(kind=MERGE_SAE, stage=0, title="t")])
    step_task(MERGE_SAE)(lambda _claim, _progress: lambda _session: None)
    assert claims._claim([MERGE_SAE], woken=False) is not None
    with worker.begin() as session:
        session.connection().exec_driver_sql(
            "UPDATE step SET lease_until = now() - interval '1 second'"
        )

    work_off(MERGE_SAE)
    flush_meters(worker)

    assert totals(worker)["leases_lost_total sae.merge"] == 1
    assert totals(worker)["steps_ended_total sae.merge done"] == 1


def test_memory_of_gpus_is_told_once_torch_computes_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = False
    cuda = SimpleNamespace(
        is_initialized=lambda: begun,
        device_count=lambda: 1,
        mem_get_info=lambda _: (30, 80),
        memory_reserved=lambda _: 20,
    )
    monkeypatch.setattr(process, "gpus", lambda: ["3"])
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # its import is under way
    assert heartbeat.gpu_memory() == []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert heartbeat.gpu_memory() == []
    begun = True

    assert heartbeat.gpu_memory() == [{"gpu": "3", "total": 80, "free": 30, "reserved": 20}]


@pytest.mark.gpu
def test_memory_of_a_real_gpu_is_told() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is here")
    held = torch.zeros(64 * 2**20, dtype=torch.uint8, device="cuda")
    [told] = heartbeat.gpu_memory()

    assert told["reserved"] >= held.nbytes
    assert told["total"] > told["free"] > 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_real_worker_beats_logs_json_and_is_missed_when_its_broker_or_it_goes(
    worker: Sessions, tmp_path: Path, broker: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_settings(settings().model_copy(update={"broker_url": broker.url()}))
    monkeypatch.setenv("SCOPEBOOK_LOG_FORMAT", "json")
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    log = tmp_path / "workers.log"
    celery = CeleryWorker(log, processes=1, queues=["cpu", "gpu"])

    def seen() -> list[bool]:
        with unit_of_work(worker) as session:
            return [one.consuming for one in list_workers(session)]

    def collected() -> bool:
        sweep_once(worker)
        return bool(totals(worker).get("steps_ended_total run.tidy done"))

    try:
        until(lambda: seen() == [True])
        until(collected)
        found = totals(worker)
        broker.stop()
        until(lambda: seen() == [False])
        os.kill(celery.pid, signal.SIGTERM)
        until(lambda: seen() == [])
    finally:
        celery.kill()

    assert found["workers gpu"] == found["workers cpu"] == 1
    assert found["workers llm"] == 0
    assert found[f"worker_resident_memory_bytes {socket.gethostname()}"] > 2**20
    assert found[f"tokens_read_total {COLLECT_SHARD}"] > len(TEXTS)
    # Every line of it, Celery's own too.
    lines = log.read_text().splitlines()
    # What Celery says at a signal goes to stdout, which is the same file here.
    own = [json.loads(line) for line in lines if line and not line.startswith("worker: ")]
    begun = [line for line in own if line["message"].startswith("Step ") and "step" in line]
    assert {line["kind"] for line in begun} >= {COLLECT_SHARD, MERGE_SAE}
    assert all(line["worker"].startswith(f"{socket.gethostname()}:") for line in begun)
