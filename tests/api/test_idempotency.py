"""A creating request that is sent again under its key is done once, and answered as before."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text
from sqlalchemy.orm import sessionmaker

from apps import app_over
from makers import make_corpus, make_label, make_release, make_run
from people import client_of, cookie_of, make_account, make_token
from scopebook.accounts import actor_of, find_account
from scopebook.db.answer_tables import KeptAnswer
from scopebook.db.jobs import Job
from scopebook.db.list_tables import FeatureList
from scopebook.db.review_tables import Comment
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.idempotency import Answer, KeyedRequest, begin_keyed
from scopebook.sweep import sweep_once
from scopebook_api.app import create_app
from scopebook_api.idempotency import KeyedRoute

FEATURE = "/api/features/Tiny-Model/1-res-w1k-l0_8/1"
#: Whose answers hold secrets, which are kept nowhere.
SECRET = {
    *("POST /api/session", "POST /api/links/look", "POST /api/links/use"),
    *("POST /api/accounts", "POST /api/accounts/{name}/link", "POST /api/tokens"),
    "POST /api/webhooks",
}
#: Which ask something by a body, and make nothing.
ASKING = {
    *("POST /api/features/batch", "POST /api/features"),
    *(f"POST /api/explanation/search{of}" for of in ("", "-model", "-release", "-all")),
    *("POST /api/list/get", "POST /api/list/list"),
    *("POST /api/inspect", "POST /api/compare", "POST /api/steer", "POST /api/steer-chat"),
    *("POST /api/search-all", "POST /api/search-topk-by-token", "POST /api/activation/new"),
}


@pytest.fixture
def clients(sessions: Sessions) -> Iterator[dict[str, TestClient]]:
    """An annotator, an editor and an admin, with a feature to speak of."""
    roles = {"ada": "annotator", "eve": "editor", "amy": "admin"}
    with unit_of_work(sessions) as session:
        sae, _ = make_release(session)
        make_run(session, [sae], make_corpus(session, ["text"]))
        make_label(session, sae, 1, "rivers")
        for name, role in roles.items():
            make_account(session, name, role)
        headers = {name: cookie_of(session, name) for name in roles}
    app = app_over(sessions)
    clients = {name: client_of(sessions, app=app, headers=headers[name]) for name in roles}
    with clients["ada"], clients["eve"], clients["amy"]:
        yield clients


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def count(sessions: Sessions, table: type[FeatureList | Comment | Job | KeptAnswer]) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_request_under_a_key_is_done_once(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    first, again = (
        clients["ada"].post("/api/lists", json={"name": "set"}, headers=key("k")) for _ in range(2)
    )

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert count(sessions, FeatureList) == 1


def test_a_write_is_not_stale_and_a_job_is_one_when_they_are_sent_again(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    upon = key("k") | {"If-Match": '"0"'}
    wanted = {"release": "SAE-Res-Tiny-Model-W1K-L0_8", "layers": [1], "anew": True}
    before = count(sessions, Job)

    comments = [
        clients["ada"].post(f"{FEATURE}/comments", json={"text": "hm"}, headers=upon)
        for _ in range(2)
    ]
    jobs = [clients["eve"].post("/api/labels", json=wanted, headers=key("k")) for _ in range(2)]

    assert [answer.status_code for answer in comments + jobs] == [200, 200, 202, 202]
    assert [answer.headers["ETag"] for answer in comments] == ['"1"', '"1"']
    assert comments[0].content == comments[1].content
    assert jobs[0].json() == jobs[1].json()
    assert (count(sessions, Comment), count(sessions, Job)) == (1, before + 1)


def test_a_key_is_for_one_request_of_one_caller(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    clients["ada"].post("/api/lists", json={"name": "set"}, headers=key("k"))

    other_body = clients["ada"].post("/api/lists", json={"name": "other"}, headers=key("k"))
    other_path = clients["ada"].post("/api/queue/next", json={}, headers=key("k"))
    other_caller = clients["eve"].post("/api/lists", json={"name": "hers"}, headers=key("k"))

    assert (other_body.status_code, other_path.status_code) == (422, 422)
    assert "'k' was used for another request (POST /api/lists" in other_body.json()["detail"]
    assert (other_caller.status_code, other_caller.json()["owner"]) == (201, "eve")
    assert count(sessions, FeatureList) == 2


def test_what_was_refused_may_be_mended_and_what_is_no_key_is_refused(
    clients: dict[str, TestClient],
) -> None:
    refused = clients["ada"].post("/api/lists", json={"name": " "}, headers=key("k"))

    mended = clients["ada"].post("/api/lists", json={"name": "set"}, headers=key("k"))

    assert (refused.status_code, mended.status_code) == (422, 201)
    for bad in (b"", b"x" * 256, b"caf\xe9"):
        answer = clients["ada"].post(
            "/api/lists", json={"name": "set"}, headers=[(b"Idempotency-Key", bad)]
        )
        assert answer.status_code == 422
        assert "printable ASCII" in answer.json()["detail"]


def test_while_the_first_runs_the_second_is_told_so(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    body = b'{"name": "set"}'
    headers = key("k") | {"Content-Type": "application/json"}
    with sessions.begin() as session:
        actor = actor_of(find_account(session, "ada"), "login")
        first = begin_keyed(session, actor, "k", name="POST /api/lists", query="", body=body)
        assert isinstance(first, KeyedRequest)
        meanwhile = clients["ada"].post("/api/lists", content=body, headers=headers)
        first.keep(session, Answer(status=201, headers={}, body=b"kept"))
    after = clients["ada"].post("/api/lists", content=body, headers=headers)

    assert meanwhile.status_code == 409
    assert "is still running" in meanwhile.json()["detail"]
    assert (after.status_code, after.content) == (201, b"kept")
    assert count(sessions, FeatureList) == 0


def test_two_at_once_make_one_row(sessions: Sessions, clients: dict[str, TestClient]) -> None:
    def send(_: int) -> tuple[int, bytes]:
        answer = clients["ada"].post("/api/lists", json={"name": "set"}, headers=key("k"))
        return answer.status_code, answer.content

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(16)))

    made = [body for status, body in answers if status == 201]
    assert made
    assert len(set(made)) == 1
    assert {status for status, _ in answers} <= {201, 409}
    assert count(sessions, FeatureList) == 1


def test_an_answer_is_kept_for_a_day_and_then_swept(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    def age(interval: str) -> None:
        with sessions.begin() as session:
            session.execute(
                text("UPDATE kept_answer SET created_at = now() - cast(:age AS interval)"),
                {"age": interval},
            )

    ask = {"json": {"name": "set"}, "headers": key("k")}
    clients["ada"].post("/api/lists", **ask)  # type: ignore[arg-type]
    age("23 hours")
    sweep_once(sessions)
    within = clients["ada"].post("/api/lists", **ask)  # type: ignore[arg-type]
    age("25 hours")
    beyond = clients["ada"].post("/api/lists", **ask)  # type: ignore[arg-type]
    age("25 hours")
    sweep_once(sessions)

    assert "Idempotency-Replayed" in within.headers
    assert "Idempotency-Replayed" not in beyond.headers
    assert count(sessions, FeatureList) == 2
    assert count(sessions, KeptAnswer) == 0


def test_answers_with_secrets_are_not_kept(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    amy = clients["amy"]

    token = amy.post("/api/tokens", json={"name": "x", "scope": "read"}, headers=key("k"))
    account = amy.post("/api/accounts", json={"name": "new", "role": "viewer"}, headers=key("k"))

    assert (token.status_code, account.status_code) == (422, 422)
    assert "holds a secret" in token.json()["detail"]
    assert amy.get("/api/tokens").json()["items"] == []
    assert count(sessions, KeptAnswer) == 0


def test_an_answer_from_before_is_for_who_still_may_do_it(
    sessions: Sessions, clients: dict[str, TestClient]
) -> None:
    with sessions.begin() as session:
        secret = make_token(session, "ada", "annotate")
    ask = {"json": {"name": "set"}, "headers": key("k") | {"Authorization": f"Bearer {secret}"}}
    with client_of(sessions) as script:
        first = script.post("/api/lists", **ask)  # type: ignore[arg-type]
        with sessions.begin() as session:
            session.execute(text("UPDATE account SET role = 'viewer' WHERE name = 'ada'"))
        again = script.post("/api/lists", **ask)  # type: ignore[arg-type]

    assert (first.status_code, again.status_code) == (201, 403)


def test_every_route_that_makes_something_takes_a_key() -> None:
    app = create_app(sessionmaker(), lambda _: None)
    posts = {
        f"POST {route.path}": route.original_route
        for route in iter_route_contexts(app.routes)
        if "POST" in (route.methods or ())
    }

    unkeyed = {name for name, route in posts.items() if not isinstance(route, KeyedRoute)}

    assert all(isinstance(route, APIRoute) for route in posts.values())
    assert unkeyed == SECRET | ASKING
