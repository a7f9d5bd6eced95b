"""An inference worker that is killed at work: who waits gets the answer of the next one."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.drills.workers import CeleryWorker, until
from tests.tiny_collections import RELEASE, make_tiny

from scopebook import inferences
from scopebook.accounts import local_actor
from scopebook.activations import unpack_activations
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.inference_requests import GoingOn, Place, Prompt, ask_inspection
from scopebook.inferences import InferenceView
from scopebook.jobs import LIVE
from scopebook.settings import settings, use_settings
from scopebook.sweep import sweep_once
from scopebook_workers.inference.service import Service

#: So many that the worker is still at them when it is killed.
GOING_ON = GoingOn(tokens=400)


@pytest.fixture
def broker(worker: Sessions, tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    chosen = {"broker_url": server.url(), "inference_lease_s": 8.0}
    use_settings(settings().model_copy(update=chosen))
    yield server
    server.stop()


def ask(factory: Sessions) -> int:
    with unit_of_work(factory) as session:
        prompt, place = Prompt(text="the cat sat"), Place(model=RELEASE)
        return ask_inspection(session, local_actor(session), place, prompt, GOING_ON)


def look(factory: Sessions, asked: int) -> InferenceView:
    with unit_of_work(factory) as session:
        mine = local_actor(session).account_id
        return inferences.read_inference(session, asked, account_id=mine)


def _swept(factory: Sessions, asked: int) -> InferenceView:
    sweep_once(factory)
    return look(factory, asked)


def answer(factory: Sessions, asked: int) -> list[int]:
    with unit_of_work(factory) as session:
        mine = local_actor(session).account_id
        packed = inferences.answer_of(session, asked, account_id=mine)
    found: list[int] = unpack_activations(packed).token_ids.tolist()
    return found


@pytest.mark.usefixtures("broker")
def test_a_worker_killed_while_a_model_writes_costs_nobody_the_answer(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path, texts=[("the cat", None)])
    undisturbed = ask(worker)
    Service(worker, worker="here").run()
    celery = CeleryWorker(tmp_path / "live.log", processes=1, queues=[LIVE])
    try:
        until(celery.ready)
        asked = ask(worker)
        until(lambda: bool(look(worker, asked).written))
        [child] = psutil.Process(celery.pid).children()
        child.send_signal(signal.SIGKILL)
        assert look(worker, asked).state == "running"

        until(lambda: _swept(worker, asked).state == "done")
    finally:
        celery.kill()

    assert answer(worker, asked) == answer(worker, undisturbed)
