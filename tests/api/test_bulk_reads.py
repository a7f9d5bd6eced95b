"""Many at once: features by their ids, and labels as a stream."""

import asyncio
import json
from collections.abc import Iterator

import anyio
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session
from starlette.types import Message

from makers import make_label, make_model, make_release
from people import client_of, make_account, make_token
from scopebook.accounts import local_actor
from scopebook.db.sessions import Sessions
from scopebook.visibility import set_visibility
from scopebook_api import streams
from scopebook_api.streams import LongAnswer, from_one_session

NAME = "Tiny-Model/1-res-w1k-l0_8"


@pytest.fixture
def clients(sessions: Sessions) -> Iterator[dict[str, TestClient]]:
    """Two readers; a second release is kept for ben."""
    with sessions.begin() as session:
        model = make_model(session)
        first, second = make_release(session, model=model)
        [kept] = make_release(session, "SAE-Kept", model=model, layers=[1], set_name="kept")
        for sae, index, words in ((first, 3, "rivers"), (second, 1, "kings"), (kept, 1, "hidden")):
            make_label(session, sae, index, words)
        for name in ("ada", "ben"):
            make_account(session, name, "viewer")
        set_visibility(session, "SAE-Kept", role=None, accounts=["ben"], by=local_actor(session))
        secrets = {name: make_token(session, name) for name in ("ada", "ben")}
    clients = {
        name: client_of(sessions, headers={"x-api-key": secret}) for name, secret in secrets.items()
    }
    with clients["ada"], clients["ben"]:
        yield clients


def test_features_come_in_the_order_that_was_asked_and_what_is_missing_is_named(
    clients: dict[str, TestClient],
) -> None:
    asked = [f"{NAME}/5", f"{NAME}/3", "Tiny-Model/1-kept/1", f"{NAME}/99", "nope", f"{NAME}/5"]

    answer = clients["ada"].post("/api/features/batch", json={"features": asked}).json()

    assert [item["id"] for item in answer["items"]] == [f"{NAME}/5", f"{NAME}/3"]
    assert answer["items"][1]["label"]["text"] == "rivers"
    reasons = {one["id"]: one["reason"] for one in answer["missing"]}
    assert set(reasons) == {"Tiny-Model/1-kept/1", f"{NAME}/99", "nope"}
    assert "expected <model>/<layer>-<set>/<index>" in reasons["nope"]
    seen = clients["ben"].post("/api/features/batch", json={"features": asked}).json()
    assert len(seen["items"]) == 3
    many = clients["ada"].post("/api/features/batch", json={"features": asked[:1] * 501})
    assert (many.status_code, "500" in many.json()["detail"]) == (422, True)


def test_labels_are_streamed_one_a_line_to_who_may_see_them(
    clients: dict[str, TestClient],
) -> None:
    def lines(name: str, **filters: object) -> list[str]:
        answer = clients[name].get("/api/labels.ndjson", params=filters)  # type: ignore[arg-type]
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        return [json.loads(line)["text"] for line in answer.text.splitlines()]

    assert lines("ada") == ["rivers", "kings"]
    assert lines("ben") == ["hidden", "rivers", "kings"]
    assert lines("ben", release="SAE-Res-Tiny-Model-W1K-L0_8", layer=2) == ["kings"]
    hidden = clients["ada"].get("/api/labels.ndjson", params={"release": "SAE-Kept"})
    assert (hidden.status_code, hidden.json()["status"]) == (404, 404)


def read_letters(session: Session) -> Iterator[bytes]:
    session.connection()
    for letter in b"abc":
        yield bytes([letter])


def test_a_stream_ends_with_its_reader_who_leaves_or_takes_nothing(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PATIENCE_S", 0.05)
    pool = sessions.kw["bind"].pool

    async def answer(leaves: bool) -> list[tuple[bytes, int]]:
        taken: list[tuple[bytes, int]] = []

        async def take_one(message: Message) -> None:
            if message["type"] == "http.response.start":
                return
            taken.append((message["body"], pool.checkedout()))
            if len(taken) == 2:
                if leaves:
                    raise OSError
                await anyio.sleep_forever()

        slots = asyncio.Semaphore(1)
        parts = from_one_session(slots, sessions, read_letters)
        with pytest.raises(OSError if leaves else TimeoutError):
            await LongAnswer(parts).stream_response(take_one)
        assert not slots.locked()
        return taken

    for leaves in (True, False):
        assert asyncio.run(answer(leaves)) == [(b"a", 1), (b"b", 1)]
        assert pool.checkedout() == 0
