"""A tiny release with weights, and somebody who asks."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.apps import app_over
from tests.tiny_collections import RELEASE, make_tiny

from scopebook import inferences
from scopebook.accounts import Actor, local_actor
from scopebook.activations import Activations, unpack_activations
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.inference_requests import GoingOn, Place, Prompt, ask_inspection
from scopebook.inferences import InferenceView
from scopebook_workers import heartbeat
from scopebook_workers.inference import service
from scopebook_workers.inference.service import Service


@dataclass
class Asking:
    """Asks for texts to be run, and has them run in this process."""

    sessions: Sessions
    place: Place = field(default_factory=lambda: Place(model=RELEASE))

    def ask(
        self,
        text: str | None,
        *,
        prompt: Prompt | None = None,
        layers: Sequence[int] | None = None,
        going_on: GoingOn | None = None,
        by: Actor | None = None,
    ) -> int:
        place = self.place if layers is None else Place(model=self.place.model, layers=layers)
        with unit_of_work(self.sessions) as session:
            actor = by or local_actor(session)
            return ask_inspection(session, actor, place, prompt or Prompt(text=text), going_on)

    @property
    def account_id(self) -> int:
        with unit_of_work(self.sessions) as session:
            return local_actor(session).account_id

    def work(self) -> None:
        Service(self.sessions, worker="test").run()

    def state(self, asked: int) -> InferenceView:
        with unit_of_work(self.sessions) as session:
            return inferences.read_inference(session, asked, account_id=self.account_id)

    def answer(self, asked: int) -> Activations:
        with unit_of_work(self.sessions) as session:
            packed = inferences.answer_of(session, asked, account_id=self.account_id)
            return unpack_activations(packed)

    def run(self, text: str, **options: object) -> Activations:
        asked = self.ask(text, **options)  # type: ignore[arg-type]
        self.work()
        return self.answer(asked)


@pytest.fixture
def make_asking(worker: Sessions, tmp_path: Path) -> Iterator[Callable[..., Asking]]:
    """Return what makes a tiny release of a family and somebody who asks for it."""

    def make(family: str = "qwen3") -> Asking:
        make_tiny(worker, tmp_path, texts=[("the cat sat 中 on the mat", None)], family=family)
        return Asking(worker)

    service._residents.cache_clear()
    heartbeat._Process.model_id = None
    yield make
    service._residents.cache_clear()


@pytest.fixture
def asking(make_asking: Callable[..., Asking]) -> Asking:
    return make_asking()


@pytest.fixture
def client(asking: Asking) -> Iterator[TestClient]:
    with TestClient(
        app_over(asking.sessions),
        base_url="http://localhost:8000",
        client=("127.0.0.1", 50000),
        headers={"X-Scopebook": "1"},
    ) as client:
        yield client


@pytest.fixture
def working(asking: Asking) -> Iterator[None]:
    """Answer what is asked, beside the test."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.02):
            asking.work()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()
