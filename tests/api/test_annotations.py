"""The routes of what people say: versions, conflicts, roles, bulk, and news to open pages."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from annotating import make_actor, make_reviewable, say
from annotation_server import app_for, serving
from scopebook.db.sessions import Sessions

FEATURE = "/api/features/Tiny-Model/1-res-w1k-l0_8/0"
ID = FEATURE.removeprefix("/api/features/")


@dataclass
class Filled:
    """Two features with a model's label each, and four accounts."""

    labels: list[int]


@pytest.fixture
def filled(sessions: Sessions) -> Filled:
    with sessions.begin() as session:
        for name, role in (("ada", "annotator"), ("ben", "annotator"), ("eve", "editor")):
            make_actor(session, name, role)  # type: ignore[arg-type]
        make_actor(session, "reader", "viewer")
        sae, run = make_reviewable(session, indices=[0, 1])
        labels = [
            say(
                session, sae, run, f"label {index}", index=index,
                senses=[("the Rhine", [0]), ("the Nile", [1])],
            )[1].id
            for index in (0, 1)
        ]  # fmt: skip
        return Filled(labels)


@pytest.fixture
def client(sessions: Sessions) -> Iterator[TestClient]:
    """A client whose header `X-Acting` says who it is."""
    with TestClient(app_for(sessions), raise_server_exceptions=False) as client:
        yield client


def write(
    client: TestClient, who: str, path: str, body: Any = None, *, version: int, method: str = "POST"
) -> httpx2.Response:
    headers = {"X-Acting": who, "If-Match": f'"{version}"'}
    return client.request(method, FEATURE + path, json=body, headers=headers)  # type: ignore[return-value]


def test_reading_gives_the_version_that_a_write_names(client: TestClient, filled: Filled) -> None:
    before = client.get(f"{FEATURE}/annotation")
    said = {"label_id": filled.labels[0], "verdict": "reject", "reason": "too wide"}

    answer = write(client, "ada", "/reviews", said, version=0)

    assert (before.headers["ETag"], before.json()["version"]) == ('"0"', 0)
    assert answer.status_code == 200
    assert (answer.headers["ETag"], answer.json()["version"]) == ('"1"', 1)
    assert answer.json()["reviews"][0]["author"] == "ada"
    assert client.get(f"{FEATURE}/annotation").json() == answer.json()
    assert client.get(FEATURE).json()["label"] is None


def test_a_write_without_a_version_is_told_to_name_one(client: TestClient, filled: Filled) -> None:
    answer = client.post(f"{FEATURE}/comments", json={"text": "Hm."})

    assert answer.status_code == 428
    assert "If-Match" in answer.json()["detail"]


@pytest.mark.parametrize("version", ["*", "1", '"x"', '"1", "2"'])
def test_what_is_no_version_is_refused(client: TestClient, filled: Filled, version: str) -> None:
    answer = client.post(f"{FEATURE}/comments", json={"text": "Hm."}, headers={"If-Match": version})

    assert answer.status_code == 422
    assert "expected the ETag" in answer.json()["detail"]


def test_who_comes_second_is_shown_what_the_first_said_and_loses_nothing(
    client: TestClient, filled: Filled
) -> None:
    write(client, "ada", "/proposals", {"text": "streams"}, version=0)

    second = write(client, "ben", "/proposals", {"text": "brooks"}, version=0)

    assert second.status_code == 412
    assert second.headers["content-type"] == "application/problem+json"
    current = second.json()["current"]
    assert current["labels"][0]["text"] == "streams"
    again = write(client, "ben", "/proposals", {"text": "brooks"}, version=current["version"])
    assert {"streams", "brooks"} <= {label["text"] for label in again.json()["labels"]}


def test_two_people_propose_disagree_discuss_and_resolve(
    client: TestClient, filled: Filled
) -> None:
    label = filled.labels[0]
    write(client, "ada", "/reviews", {"label_id": label, "verdict": "reject"}, version=0)
    proposed = write(
        client, "ada", "/proposals", {"text": "streams", "supersedes_id": label}, version=1
    ).json()
    proposal = proposed["labels"][0]
    write(client, "ben", "/reviews", {"label_id": proposal["id"], "verdict": "reject"}, version=2)
    write(client, "ben", "/comments", {"text": "Canals too, @ada?"}, version=3)
    ask = {"label_id": proposal["id"], "verdict": "accept", "reason": "canals are streams"}

    write(client, "ben", "/reviews", ask, version=4)

    feature = client.get(FEATURE).json()
    assert (feature["label"]["text"], feature["label"]["author"]) == ("streams", "ada")
    reasons = client.get(f"{FEATURE}/annotation").json()["reasons"]
    assert {it["label_id"]: it["clause"] for it in reasons}[proposal["id"]] == "accepted"
    mentions = client.get("/api/comments/mentions", headers={"X-Acting": "ada"}).json()["items"]
    assert [(it["feature"], it["text"]) for it in mentions] == [(ID, "Canals too, @ada?")]
    history = client.get(f"{FEATURE}/history").json()["items"]
    assert [entry["kind"] for entry in history] == [
        "review", "comment", "review", "propose", "review",
    ]  # fmt: skip


def test_the_label_of_one_sense_is_judged_like_that_of_the_feature(
    client: TestClient, filled: Filled
) -> None:
    rhine, nile = client.get(f"{FEATURE}/annotation").json()["senses"]
    reject = {"label_id": nile["label_id"], "verdict": "reject", "reason": "the Congo, too"}

    rejected = write(client, "ada", "/reviews", reject, version=0).json()
    late = {"label_id": rhine["label_id"], "verdict": "accept"}
    stale = write(client, "ben", "/reviews", late, version=0)
    wording = {"text": "African rivers", "sense": 1}
    proposed = write(client, "ada", "/proposals", wording, version=1).json()
    proposal = proposed["labels"][0]["id"]
    accept = {"label_id": proposal, "verdict": "accept"}
    accepted = write(client, "ben", "/reviews", accept, version=2).json()

    assert rejected["senses"][1] == nile | {"label_id": None, "others": [nile["label_id"]]}
    assert stale.status_code == 412
    assert stale.json()["current"]["senses"] == rejected["senses"]
    assert proposed["senses"][1]["others"] == [proposal, nile["label_id"]]
    assert accepted["senses"] == [
        rhine,
        nile | {"label_id": proposal, "others": [nile["label_id"]]},
    ]
    senses = client.get(FEATURE).json()["senses"]
    assert [sense["label"]["text"] for sense in senses] == ["the Rhine", "African rivers"]
    assert client.get(FEATURE).json()["label"]["text"] == "label 0"
    history = client.get(f"{FEATURE}/history").json()["items"]
    assert [(it["kind"], it["label"], it["sense"]) for it in history] == [
        ("review", "African rivers", 1),
        ("propose", "African rivers", 1),
        ("review", "the Nile", 1),
    ]
    undone = write(client, "ben", f"/history/{history[0]['id']}/undo", {}, version=3).json()
    assert undone["senses"] == proposed["senses"]


def test_every_write_answers_with_the_next_version(client: TestClient, filled: Filled) -> None:
    example = client.get(FEATURE).json()["examples"][0]["context_id"]
    writes: list[tuple[str, str, str, Any]] = [
        ("ada", "PUT", "/tags/code", None),
        ("ada", "DELETE", "/tags/code", None),
        ("ada", "PUT", f"/off-meaning/{example}", None),
        ("ada", "DELETE", f"/off-meaning/{example}", None),
        ("ada", "POST", "/second-opinion", {}),
        ("ada", "POST", "/comments", {"text": "One."}),
        ("ada", "POST", "/senses/merge", {"ordinals": [0, 1]}),
        ("ada", "POST", "/senses/split", {"ordinal": 0, "context_ids": [example]}),
        ("eve", "POST", "/pin", {"label_id": filled.labels[0], "reason": "so"}),
        ("eve", "POST", "/pin", {"label_id": None, "reason": "open again"}),
    ]

    answers = [
        write(client, who, path, body, version=at, method=method)
        for at, (who, method, path, body) in enumerate(writes)
    ]

    assert [(it.status_code, it.headers.get("ETag")) for it in answers] == [
        (200, f'"{at + 1}"') for at in range(len(writes))
    ]
    comment = answers[-1].json()["comments"][0]["id"]
    edited = write(
        client, "ada", f"/comments/{comment}", {"text": "Two."}, version=10, method="PUT"
    )
    assert edited.json()["comments"][0]["text"] == "Two."
    gone = write(client, "eve", f"/comments/{comment}", version=11, method="DELETE")
    assert gone.json()["comments"][0]["text"] is None


def test_an_entry_is_undone_by_a_new_one_unless_later_ones_rest_on_it(
    client: TestClient, filled: Filled
) -> None:
    write(client, "ada", "/proposals", {"text": "streams"}, version=0)
    proposal = client.get(f"{FEATURE}/annotation").json()["labels"][0]["id"]
    write(client, "ben", "/reviews", {"label_id": proposal, "verdict": "accept"}, version=1)
    review, propose = client.get(f"{FEATURE}/history").json()["items"]

    refused = write(client, "ada", f"/history/{propose['id']}/undo", {}, version=2)
    undone = write(client, "ben", f"/history/{review['id']}/undo", {}, version=2)

    assert refused.status_code == 409
    assert "review by ben" in refused.json()["detail"]
    assert undone.json()["changes"] == 3


def test_viewers_read_and_do_not_write(client: TestClient, filled: Filled) -> None:
    assert client.get(f"{FEATURE}/annotation", headers={"X-Acting": "reader"}).status_code == 200
    for path, body in (("/comments", {"text": "Hm."}), ("/second-opinion", {})):
        assert write(client, "reader", path, body, version=0).status_code == 403
    for path in ("/api/queue/next", "/api/reviews/bulk"):
        wanted = {"features": [ID], "kind": "accept"} if "bulk" in path else {}
        answer = client.post(path, json=wanted, headers={"X-Acting": "reader"})
        assert answer.status_code == 403
    for who, status in (("ada", 403), ("eve", 200)):
        answer = client.put("/api/tags/law", json={}, headers={"X-Acting": who})
        assert answer.status_code == status


def test_the_queue_hands_out_reviews_and_takes_them_back(
    client: TestClient, filled: Filled
) -> None:
    def take(who: str) -> Any:
        return client.post("/api/queue/next", json={}, headers={"X-Acting": who}).json()["lease"]

    first, second = take("ada"), take("ben")
    write(client, "ada", "/reviews", {"label_id": filled.labels[0], "verdict": "accept"}, version=0)
    skipped = client.post(
        "/api/queue/skip", json={"feature": second["feature"]["id"]}, headers={"X-Acting": "ben"}
    )

    assert first["feature"]["id"] == ID
    assert first["feature"]["label"]["text"] == "label 0"
    assert second["feature"]["id"] != ID
    assert skipped.status_code == 204
    assert take("ben") is None
    assert client.get("/api/queue").json()["unreviewed"] == 1
    assert take("ada")["feature"]["id"] == second["feature"]["id"]


def test_a_bulk_action_is_previewed_applied_and_undone(client: TestClient, filled: Filled) -> None:
    headers = {"X-Acting": "ada"}
    other = f"{ID[:-1]}1"
    wanted = {"features": [ID, other], "kind": "tag", "tag": "code"}
    preview = client.post("/api/reviews/bulk", json=wanted, headers=headers).json()
    before = client.get("/api/tags").json()["items"][0]["features"]

    applied = client.post(f"/api/reviews/bulk/{preview['token']}/apply", headers=headers).json()
    after = client.get("/api/tags").json()["items"][0]["features"]
    undone = client.post(f"/api/reviews/bulk/{applied['id']}/undo", headers=headers).json()

    assert (preview["changes"], before, after) == (2, 0, 2)
    assert [item["feature"] for item in applied["items"]] == [ID, other]
    assert (undone["changes"], client.get("/api/tags").json()["items"][0]["features"]) == (2, 0)
    missing = client.post(
        "/api/reviews/bulk", json=wanted | {"features": [f"{ID[:-1]}99"]}, headers=headers
    )
    assert missing.status_code == 404


def test_agreement_is_told_over_http(client: TestClient, filled: Filled) -> None:
    for version, who in enumerate(("ada", "ben")):
        said = {"label_id": filled.labels[0], "verdict": "accept"}
        write(client, who, "/reviews", said, version=version)

    report = client.get("/api/agreement").json()

    assert report["overall"] == {"labels": 1, "ratings": 2, "percent": 1.0, "alpha": None}
    assert report["pairs"][0]["authors"] == ["ada", "ben"]
    reviews = client.get("/api/reviews", params={"author": "ben"}).json()["items"]
    assert [(it["feature"], it["label"], it["verdict"]) for it in reviews] == [
        (ID, "label 0", "accept")
    ]


class Stream:
    """Reads server-sent events on a thread of its own."""

    def __init__(self, url: str, who: str) -> None:
        self.events: Queue[Any] = Queue()
        self._client = httpx2.Client(timeout=60, headers={"X-Acting": who})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(url,), daemon=True)
        self._thread.start()

    def _read(self, url: str) -> None:
        # Closing the client from the test's thread ends the reading with an error.
        with suppress(httpx2.HTTPError), self._client.stream("GET", url) as answer:
            for line in answer.iter_lines():
                if self._stop.is_set():
                    return
                if line.startswith("data: "):
                    self.events.put(json.loads(line[6:]))

    def until(self, told: Callable[[Any], bool]) -> Any:
        """Return the first event that tells what is waited for."""
        while True:
            try:
                event = self.events.get(timeout=120)
            except Empty:
                raise AssertionError("the news did not come") from None
            if told(event):
                return event

    def close(self) -> None:
        self._stop.set()
        self._client.close()


def test_open_pages_see_each_other_and_each_others_changes(
    database_url: str, filled: Filled
) -> None:
    with serving(database_url) as url:
        ada = Stream(f"{url}{FEATURE}/live?viewer=a", "ada")
        ada.until(lambda event: event == {"version": 0, "present": ["ada"]})
        ben = Stream(f"{url}{FEATURE}/live?viewer=b", "ben")
        ben.until(lambda event: event["present"] == ["ada", "ben"])
        ada.until(lambda event: event["present"] == ["ada", "ben"])
        queue = Stream(f"{url}/api/queue/live", "eve")
        queue.until(lambda event: event["unreviewed"] == 2)
        httpx2.post(
            f"{url}{FEATURE}/reviews",
            json={"label_id": filled.labels[0], "verdict": "accept"},
            headers={"X-Acting": "ben", "If-Match": '"0"'},
        ).raise_for_status()

        changed = ada.until(lambda event: event["version"] == 1)
        httpx2.post(f"{url}/api/queue/next", json={}, headers={"X-Acting": "ada"})
        handed = queue.until(lambda event: event["in_hand"] == {"ada": 1})
        ben.close()
        alone = ada.until(lambda event: event["present"] == ["ada"])
        ada.close()
        queue.close()

    assert changed["present"] == ["ada", "ben"]
    assert handed["unreviewed"] == 1
    assert alone["version"] == 1


def test_news_come_again_after_the_database_has_dropped_the_line(
    database_url: str, sessions: Sessions, filled: Filled
) -> None:
    with serving(database_url) as url:
        ada = Stream(f"{url}{FEATURE}/live?viewer=a", "ada")
        ada.until(lambda event: event["present"] == ["ada"])
        with sessions.begin() as session:
            killed = session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
            ).all()
        httpx2.post(
            f"{url}{FEATURE}/comments",
            json={"text": "Still there?"},
            headers={"X-Acting": "ben", "If-Match": '"0"'},
        ).raise_for_status()

        ada.until(lambda event: event["version"] == 1)
        ada.close()

    assert killed == [(True,)]
