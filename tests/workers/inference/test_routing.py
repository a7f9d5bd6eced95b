"""Which worker takes a request: the one that has its model loaded, and soon anybody."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select, text, update
from tests.workers.inference.conftest import Asking

from scopebook import inference_queue, notices
from scopebook.db.inference_tables import Inference
from scopebook.db.sessions import unit_of_work
from scopebook.db.tables import Model, Release
from scopebook.db.worker_tables import Worker
from scopebook.heartbeats import Beat, note_beat
from scopebook.inference_queue import Taken, take
from scopebook.jobs import INFER
from scopebook_workers import heartbeat, process
from scopebook_workers.inference.service import Service


@pytest.fixture
def other_model(asking: Asking) -> int:
    """Another model than the one that is asked for."""
    with unit_of_work(asking.sessions) as session:
        tokenizer_id = session.scalars(select(Model.tokenizer_id)).one()
        other = Model(name="other", path="", layers=2, d_model=8, tokenizer_id=tokenizer_id)
        session.add(other)
        session.flush()
        release = Release(name="other", model_id=other.id, set_name="s", width=8, source="")
        session.add(release)
        session.flush()
        return other.id


@pytest.fixture
def model(asking: Asking) -> int:
    """The model that is asked for."""
    with unit_of_work(asking.sessions) as session:
        release = select(Release.model_id).where(Release.name == asking.place.model)
        return session.scalars(release).one()


def live_worker(asking: Asking, name: str, model_id: int | None, **more: object) -> None:
    """Let a worker live that has a model loaded."""
    told = {"host": "h", "pid": 1, "queues": ["live"], "consuming": True, "gauges": {}, "gpus": []}
    with unit_of_work(asking.sessions) as session:
        note_beat(session, Beat(name=name, model_id=model_id, **{**told, **more}))  # type: ignore[arg-type]


def taken(asking: Asking, **how: object) -> Taken:
    with unit_of_work(asking.sessions) as session:
        return take(session, worker="me", limit=9, **how)  # type: ignore[arg-type]


def test_a_request_is_left_to_the_worker_that_has_its_model(asking: Asking, model: int) -> None:
    asked = asking.ask("the cat")
    live_worker(asking, "other", model)

    assert taken(asking) == Taken([], {asked})
    assert [one.id for one in taken(asking, loaded=model).asked] == [asked]


def test_what_has_waited_for_two_seconds_is_taken_by_anybody(asking: Asking, model: int) -> None:
    asked = asking.ask("the cat")
    live_worker(asking, "other", model)
    with unit_of_work(asking.sessions) as session:
        session.execute(update(Inference).values(created_at=text("now() - interval '3 s'")))

    assert [one.id for one in taken(asking).asked] == [asked]


@pytest.mark.parametrize(
    "gone", [{"queues": ["gpu"]}, {"consuming": False}, {"name": "me"}, {"seen_s": 60}]
)
def test_nothing_is_left_to_who_cannot_take_it(
    gone: dict[str, object], asking: Asking, model: int
) -> None:
    asked = asking.ask("the cat")
    seen_s = gone.pop("seen_s", 0)
    live_worker(asking, str(gone.pop("name", "other")), model, **gone)
    with unit_of_work(asking.sessions) as session:
        moment = text("now() - make_interval(secs => :s)").bindparams(s=seen_s)
        session.execute(update(Worker).values(seen_at=moment))

    assert [one.id for one in taken(asking).asked] == [asked]


def test_what_is_left_to_another_does_not_end_what_is_taken(
    asking: Asking, model: int, other_model: int
) -> None:
    first, second, third = (asking.ask("the cat") for _ in range(3))
    with unit_of_work(asking.sessions) as session:
        elsewhere = select(Release.id).where(Release.model_id == other_model).scalar_subquery()
        session.execute(
            update(Inference).where(Inference.id == second).values(release_id=elsewhere)
        )
    live_worker(asking, "other", other_model)

    found = taken(asking, model_id=model)

    assert [one.id for one in found.asked] == [first, third]
    assert found.left == {second}


def test_a_worker_tells_which_model_it_has_loaded(asking: Asking, model: int) -> None:
    asking.ask("the cat")

    asking.work()

    with unit_of_work(asking.sessions) as session:
        told = list(session.scalars(select(Worker.model_id).where(Worker.name == process.name())))
    assert told == [model] == [heartbeat.loaded_model()]


def test_who_leaves_a_request_wakes_others_once_and_takes_it_if_nobody_comes(
    asking: Asking, model: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(notices, "send", lambda kind, count=1: sent.append((kind, count)))
    monkeypatch.setattr(inference_queue, "PATIENCE_S", 0.3)
    asked = asking.ask("the cat")
    live_worker(asking, "other", model)
    sent.clear()

    asking.work()

    assert sent == [(INFER, 2)]
    assert asking.state(asked).state == "done"


def test_another_worker_takes_what_is_left_to_it(
    asking: Asking, model: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_queue, "PATIENCE_S", 600)
    asked = asking.ask("the cat")
    live_worker(asking, "other", model)
    waiting = threading.Thread(target=Service(asking.sessions, worker="me").run)
    waiting.start()

    # It lives, and so the first one leaves the request to it.
    other: Callable[[], None] = Service(asking.sessions, worker="other").run
    other()
    waiting.join(60)

    assert not waiting.is_alive()
    with unit_of_work(asking.sessions) as session:
        assert session.get_one(Inference, asked).worker == "other"
