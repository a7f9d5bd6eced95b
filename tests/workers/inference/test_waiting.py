"""The API while somebody waits: the answer at its end, events on the way, and who leaves."""

import asyncio
import json
import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session
from tests.apps import app_over
from tests.tiny_collections import RELEASE
from tests.workers.inference.conftest import Asking

from scopebook.db.inference_tables import Inference
from scopebook.db.sessions import unit_of_work
from scopebook.inference_queue import tidy_inferences
from scopebook.inferences import InferenceView
from scopebook.settings import settings, use_settings
from scopebook_api import waiting

TEXT = "the cat 中文 sat on the mat"
EVENTS = {"Accept": "text/event-stream"}


def events_of(answer: str) -> list[tuple[str, Any]]:
    parts = [part for part in answer.split("\n\n") if part.startswith("event: ")]
    split = [part.removeprefix("event: ").split("\ndata: ", 1) for part in parts]
    return [(name, json.loads(data)) for name, data in split]


@pytest.mark.usefixtures("working")
def test_a_text_is_answered_with_what_fires_in_it(client: TestClient) -> None:
    plain = {"Accept-Encoding": "identity"}
    answer = client.post("/api/inspect", json={"model": RELEASE, "text": TEXT}, headers=plain)

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    seen = answer.json()
    assert "".join(seen["pieces"]) == TEXT
    assert seen["tokens"][-1]["end"] == len(TEXT)
    assert len(seen["strongest"]) == len(seen["tokens"])
    strongest = seen["firings"][0]
    assert seen["features"][strongest["feature"]]["layer"] in (1, 3)
    assert max(strongest["activations"]) == pytest.approx(strongest["max"], abs=1e-3)

    again = client.get(f"/api/inspect/{seen['id']}", params={"layer": 3, "limit": 2}).json()
    assert len(again["firings"]) == 2
    assert {feature["layer"] for feature in again["features"]} == {3}
    assert client.get(f"/api/compare/{seen['id']}").status_code == 404


def test_the_number_is_told_also_where_the_answer_is_there_at_once(
    asking: Asking, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = waiting.Waiting._look

    def late(self: waiting.Waiting, session: Session) -> InferenceView:
        asking.work()
        return look(self, session)

    monkeypatch.setattr(waiting.Waiting, "_look", late)
    body = {"model": RELEASE, "text": TEXT}

    (first, progress), (last, seen) = events_of(
        client.post("/api/inspect", json=body, headers=EVENTS).text
    )

    assert (first, last) == ("progress", "answer")
    assert (progress["state"], progress["id"]) == ("done", seen["id"])


@pytest.mark.usefixtures("working")
def test_events_tell_what_the_model_writes_and_then_the_answer(client: TestClient) -> None:
    body = {"model": RELEASE, "text": TEXT, "go_on": {"tokens": 12, "temperature": 1, "seed": 4}}

    events = events_of(client.post("/api/inspect", json=body, headers=EVENTS).text)

    *progress, (last, seen) = events
    assert {name for name, _ in progress} == {"progress"}
    assert last == "answer"
    written = [token for token in seen["tokens"] if token["written"]]
    assert 1 <= len(written) <= 12
    assert len(progress[-1][1]["written"]) == len(written)
    assert client.post("/api/inspect", json=body).json()["text"] == seen["text"]


@pytest.mark.usefixtures("working")
def test_two_texts_are_compared_and_looked_at_again(client: TestClient) -> None:
    sides = {"a": [{"text": "the cat sat on"}], "b": [{"text": "the cat 中文 中国"}]}

    seen = client.post("/api/compare", json={"model": RELEASE, **sides}).json()

    assert seen["test"] is None
    assert {one["more_in"] for one in seen["differences"]} == {"a", "b"}
    assert not any(seen["b"]["left_out"])
    again = client.get(f"/api/compare/{seen['id']}", params={"leave_out": "prefix", "sort": "max"})
    assert again.json()["b"]["left_out"][0]


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"text": ""}, 422, "The text is empty"),
        ({"text": "a\0b"}, 422, "The text is no plain text"),
        ({"text": "a", "messages": [{"role": "user", "content": "b"}]}, 422, "give one of them"),
        ({"text": "the " * 60}, 422, "tokens and 32 are run live"),
        ({"text": TEXT, "layers": []}, 422, "No layer was named"),
        ({"text": TEXT, "layers": [0]}, 404, "Layer 0 is not registered"),
        ({"text": TEXT, "model": "nothing"}, 404, "There is no model and no release 'nothing'"),
        (
            {"messages": [{"role": "user", "content": "hello"}]},
            422,
            "has no chat template, so it knows no turns",
        ),
    ],
)
def test_what_cannot_be_run_has_its_own_answer(
    client: TestClient, body: dict[str, Any], status: int, sentence: str
) -> None:
    use_settings(settings().model_copy(update={"inference_tokens": 32}))

    answer = client.post("/api/inspect", json={"model": RELEASE, **body})
    events = client.post("/api/inspect", json={"model": RELEASE, **body}, headers=EVENTS)

    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert sentence in answer.json()["detail"]
    assert sentence in events.text


def test_without_a_worker_it_is_told_that_there_is_none(client: TestClient) -> None:
    use_settings(settings().model_copy(update={"inference_patience_s": 0.1}))

    answer = client.post("/api/inspect", json={"model": RELEASE, "text": TEXT})

    assert answer.status_code == 503
    assert "No worker has taken the request for 0 seconds" in answer.json()["detail"]


def test_an_end_that_comes_from_the_sweep_is_told(client: TestClient, asking: Asking) -> None:
    def end_it() -> None:
        while True:
            with unit_of_work(asking.sessions) as session:
                if session.scalar(select(Inference.id)):
                    session.execute(update(Inference).values(deadline=text("now()")))
                    break
        with unit_of_work(asking.sessions) as session:
            tidy_inferences(session)

    thread = threading.Thread(target=end_it)
    thread.start()
    answer = client.post("/api/inspect", json={"model": RELEASE, "text": TEXT})
    thread.join()

    assert answer.status_code == 503
    assert "has not answered in time" in answer.json()["detail"]


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_who_leaves_cancels_what_they_asked_for(asking: Asking, accept: str) -> None:
    app = app_over(asking.sessions)
    body = json.dumps({"model": RELEASE, "text": TEXT}).encode()
    headers = {"host": "localhost:8000", "accept": accept, "content-type": "application/json"}
    scope = {
        **{"type": "http", "method": "POST", "path": "/api/inspect", "query_string": b""},
        **{"scheme": "http", "server": ("localhost", 8000), "client": ("127.0.0.1", 50000)},
        "headers": [(k.encode(), v.encode()) for k, v in {**headers, "x-scopebook": "1"}.items()],
        **{"root_path": "", "http_version": "1.1", "raw_path": b"/api/inspect"},
    }

    async def leave() -> None:
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            while not _states(asking):
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(_: object) -> None:
            pass

        await app(scope, receive, send)

    asyncio.run(leave())

    assert _states(asking) == ["cancelled"]


def _states(asking: Asking) -> list[str]:
    with unit_of_work(asking.sessions) as session:
        return list(session.scalars(select(Inference.state)))


@pytest.mark.usefixtures("working")
def test_twenty_people_at_once_get_unmixed_answers(client: TestClient) -> None:
    use_settings(settings().model_copy(update={"inference_waiting": 20}))
    texts = [f"the dog number {number} sat on the cat" for number in range(20)]
    answers: dict[int, dict[str, Any]] = {}

    def ask(number: int) -> None:
        body = {"model": RELEASE, "text": texts[number]}
        answers[number] = client.post("/api/inspect", json=body).json()

    threads = [threading.Thread(target=ask, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answers[number]["text"] for number in range(20)] == texts
