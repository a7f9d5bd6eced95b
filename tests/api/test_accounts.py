"""Logging in, and what a browser, a script and a stranger may do."""

import asyncio
import logging

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy import text

from apps import app_over
from people import (
    HERE,
    OWN,
    PASSWORD,
    bearer,
    client_of,
    cookie_of,
    make_account,
    make_actor,
    make_token,
)
from scopebook.account_changes import make_link, set_password
from scopebook.accounts import Actor, local_actor
from scopebook.audit import list_audit
from scopebook.db.sessions import Sessions
from scopebook.settings import Settings, settings, use_settings
from scopebook_api.deps import asking_again
from scopebook_api.routers import jobs


@pytest.fixture
def ada(sessions: Sessions) -> None:
    """An admin with a password."""
    with sessions.begin() as session:
        account = make_account(session, "ada", "admin")
        set_password(session, account, PASSWORD, by=local_actor(session), how="test")


def log_in(client: TestClient, name: str = "ada", password: str = PASSWORD) -> int:
    return client.post("/api/session", json={"name": name, "password": password}).status_code


def use(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    before = settings()
    monkeypatch.setattr("scopebook.settings._Current.settings", before)
    use_settings(Settings(**changes))  # type: ignore[arg-type]


def test_who_sits_at_a_machine_without_accounts_may_do_everything(client: TestClient) -> None:
    answer = client.get("/api/session").json()

    assert answer["me"] == {"name": "local", "role": "admin", "via": "machine"}
    assert answer["accounts"] is False
    assert client.get("/api/accounts").status_code == 200
    assert client.post("/api/jobs/1/cancel").status_code == 404


@pytest.mark.parametrize(
    ("address", "base_url", "headers"),
    [
        ("192.0.2.1", HERE, {}),
        ("127.0.0.1", "http://rebound.example:8000", {}),
        ("127.0.0.1", "http://192.168.1.5:8000", {}),
        ("127.0.0.1", HERE, {"X-Forwarded-For": "192.0.2.1"}),
        ("127.0.0.1", HERE, {"Forwarded": "for=192.0.2.1"}),
        ("testclient", HERE, {}),
    ],
    ids=["another machine", "a rebound name", "an address", "a proxy", "another", "no address"],
)
def test_who_comes_from_elsewhere_is_a_stranger_where_nobody_has_an_account(
    sessions: Sessions, address: str, base_url: str, headers: dict[str, str]
) -> None:
    with client_of(sessions, address=address, base_url=base_url, headers=headers) as client:
        answer = client.get("/api/releases")

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "scopebook user add NAME --role admin" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "box.localhost"])
def test_this_machine_has_several_names(sessions: Sessions, name: str) -> None:
    with client_of(sessions, base_url=f"http://{name}:8000") as client:
        assert client.get("/api/releases").status_code == 200


def test_an_instance_that_listens_for_others_lets_nobody_in_without_an_account(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, host="0.0.0.0")

    with client_of(sessions) as client:
        assert client.get("/api/releases").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9000"},
    ],
)
def test_other_sites_change_nothing_at_a_machine_without_accounts(
    sessions: Sessions, headers: dict[str, str]
) -> None:
    with client_of(sessions) as client:
        assert client.post("/api/jobs/1/cancel", headers=headers).status_code == 403
        assert client.get("/api/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": HERE}]
)
def test_scripts_and_own_pages_change_things_at_a_machine_without_accounts(
    client: TestClient, headers: dict[str, str]
) -> None:
    assert client.post("/api/jobs/1/cancel", headers=headers).status_code == 404


@pytest.mark.usefixtures("ada")
def test_from_the_first_account_on_people_log_in(client: TestClient) -> None:
    assert client.get("/api/releases").status_code == 401
    assert client.get("/api/session").json() == {"me": None, "accounts": True, "provider": None}

    assert log_in(client) == 200

    me = client.get("/api/session").json()["me"]
    assert me == {"name": "ada", "role": "admin", "via": "login"}
    assert client.get("/api/releases").status_code == 200
    assert client.delete("/api/session", headers=OWN).status_code == 204
    assert client.get("/api/releases").status_code == 401


@pytest.mark.usefixtures("ada")
def test_a_cookie_is_none_for_scripts_and_other_sites(client: TestClient) -> None:
    answer = client.post("/api/session", json={"name": "ada", "password": PASSWORD})

    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("scopebook_8000=")
    assert "; HttpOnly" in cookie
    assert "; SameSite=lax" in cookie
    assert "; Secure" not in cookie
    assert "; Max-Age=1209600" in cookie


@pytest.mark.usefixtures("ada")
def test_over_https_a_cookie_is_sent_over_https_only(sessions: Sessions) -> None:
    with client_of(sessions, base_url="https://scopebook.example") as client:
        answer = client.post("/api/session", json={"name": "ada", "password": PASSWORD})

    assert answer.headers["set-cookie"].startswith("scopebook=")
    assert "; Secure" in answer.headers["set-cookie"]


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("name", ["ada", "nobody", "local"])
def test_a_wrong_password_is_told_like_a_wrong_name(
    sessions: Sessions, client: TestClient, name: str
) -> None:
    answer = client.post("/api/session", json={"name": name, "password": "not this one"})

    assert answer.status_code == 401
    assert answer.json()["detail"] == "The name or the password is not right."
    assert "set-cookie" not in answer.headers
    with sessions() as session:
        entry = list_audit(session)[0][0]
    assert (entry.account, entry.action) == (name, "failed to log in")


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(
    "headers", [{}, OWN | {"Sec-Fetch-Site": "cross-site"}, OWN | {"Origin": "https://a.example"}]
)
def test_a_page_of_another_site_changes_nothing_in_the_name_of_a_login(
    client: TestClient, headers: dict[str, str]
) -> None:
    log_in(client)

    assert client.post("/api/jobs/1/cancel", headers=headers).status_code == 403
    assert client.post("/api/jobs/1/cancel", headers=OWN).status_code == 404


@pytest.mark.usefixtures("ada")
def test_another_site_cannot_log_somebody_in(client: TestClient) -> None:
    answer = client.post(
        "/api/session",
        json={"name": "ada", "password": PASSWORD},
        headers={"Sec-Fetch-Site": "cross-site"},
    )

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_a_script_shows_a_token_and_needs_no_other_header(
    sessions: Sessions, client: TestClient, header: str
) -> None:
    with sessions.begin() as session:
        make_account(session, "ada", "editor")
        secret = make_token(session, "ada", "edit")
    shown = {header: f"Bearer {secret}" if header == "Authorization" else secret}

    assert client.post("/api/jobs/1/cancel", headers=shown).status_code == 404

    with sessions() as session:
        used = session.scalar(text("SELECT last_used_at > now() - interval '1m' FROM api_token"))
    assert used


def test_a_token_that_is_no_good_is_refused_also_at_the_machine(client: TestClient) -> None:
    answer = client.get("/api/releases", headers=bearer("sb_invented"))

    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.json()["detail"]


def test_the_first_account_that_a_page_makes_ends_the_free_entry(client: TestClient) -> None:
    refused = client.post("/api/accounts", json={"name": "ada", "role": "viewer"})
    made = client.post("/api/accounts", json={"name": "ada", "role": "admin"})

    assert refused.status_code == 409
    assert made.status_code == 201
    link = made.json()["link"]["url"]
    assert link.startswith(f"{HERE}/welcome#")
    assert client.get("/api/releases").status_code == 401
    secret = {"secret": link.partition("#")[2]}
    assert client.post("/api/links/look", json=secret).json() == {"account": "ada"}
    used = client.post("/api/links/use", json={**secret, "password": PASSWORD})
    assert used.json()["me"]["name"] == "ada"
    assert client.get("/api/releases").status_code == 200
    again = client.post("/api/links/use", json={**secret, "password": PASSWORD})
    assert again.status_code == 401


def test_a_link_names_the_address_that_people_use(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, public_url="https://scopebook.example/")

    made = client.post("/api/accounts", json={"name": "ada", "role": "admin"}).json()

    assert made["link"]["url"].startswith("https://scopebook.example/welcome#")


@pytest.mark.usefixtures("ada")
def test_an_admin_changes_accounts(sessions: Sessions, client: TestClient) -> None:
    log_in(client)
    client.headers.update(OWN)
    client.post("/api/accounts", json={"name": "ben", "role": "viewer"})

    promoted = client.patch("/api/accounts/BEN", json={"role": "editor"}).json()
    disabled = client.patch("/api/accounts/ben", json={"disabled": True}).json()
    enabled = client.patch("/api/accounts/ben", json={"disabled": False}).json()

    assert promoted["role"] == "editor"
    assert disabled["disabled_at"] is not None
    assert enabled["disabled_at"] is None
    assert client.patch("/api/accounts/ada", json={"disabled": True}).status_code == 409
    names = [account["name"] for account in client.get("/api/accounts").json()["items"]]
    assert names == ["ada", "ben"]
    audit = client.get("/api/audit").json()["items"]
    assert [entry["action"] for entry in audit][:5] == [
        "enabled an account",
        "disabled an account",
        "changed a role",
        "made a one-time link",
        "made an account",
    ]
    assert {entry["account"] for entry in audit[:5]} == {"ada"}


@pytest.mark.usefixtures("ada")
def test_no_answer_about_people_is_kept_on_the_way(client: TestClient) -> None:
    log_in(client)
    client.headers.update(OWN)
    answers = [
        client.post("/api/accounts", json={"name": "ben", "role": "viewer"}),
        client.post("/api/tokens", json={"name": "ci"}),
        *(client.get(f"/api/{noun}") for noun in ("session", "accounts", "tokens", "audit")),
    ]

    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}


@pytest.mark.usefixtures("ada")
def test_a_new_password_keeps_this_browser_and_logs_the_others_out(sessions: Sessions) -> None:
    app = app_over(sessions)
    with client_of(sessions, app=app, headers=OWN) as here, client_of(sessions, app=app) as there:
        for client in (here, there):
            log_in(client)

        answer = here.put("/api/me/password", json={"old": PASSWORD, "new": PASSWORD + " more"})

        assert answer.status_code == 204
        assert here.get("/api/releases").status_code == 200
        assert there.get("/api/releases").status_code == 401
        assert log_in(there) == 401
        assert log_in(there, password=PASSWORD + " more") == 200


@pytest.mark.usefixtures("ada")
def test_one_logs_out_everywhere(sessions: Sessions) -> None:
    app = app_over(sessions)
    with client_of(sessions, app=app, headers=OWN) as here, client_of(sessions, app=app) as there:
        for client in (here, there):
            log_in(client)

        assert here.delete("/api/me/sessions").status_code == 204

        assert [c.get("/api/releases").status_code for c in (here, there)] == [401, 401]


@pytest.mark.usefixtures("ada")
def test_one_sees_ones_browsers_and_logs_one_of_them_out(sessions: Sessions) -> None:
    app = app_over(sessions)
    agents = [{"User-Agent": name} for name in ("Firefox of here", "x" * 4000)]
    with (
        client_of(sessions, app=app, headers=OWN | agents[0]) as here,
        client_of(sessions, app=app, headers=OWN | agents[1], address="192.0.2.9") as there,
    ):
        for client in (there, here):
            log_in(client)
            client.get("/api/releases")

        mine, other = here.get("/api/me/sessions").json()["items"]
        missing = here.delete("/api/me/sessions/999999")
        ended = here.delete(f"/api/me/sessions/{other['id']}")

        assert (mine["this"], mine["agent"]) == (True, "Firefox of here")
        assert (other["this"], other["address"], len(other["agent"])) == (False, "192.0.2.9", 300)
        assert None not in (mine["last_seen_at"], other["last_seen_at"])
        assert (missing.status_code, ended.status_code) == (404, 204)
        assert [c.get("/api/releases").status_code for c in (here, there)] == [200, 401]
        assert [it["id"] for it in here.get("/api/me/sessions").json()["items"]] == [mine["id"]]
        gone = here.delete(f"/api/me/sessions/{mine['id']}")
        assert (gone.status_code, "Max-Age=0" in gone.headers["set-cookie"]) == (204, True)
        assert here.get("/api/releases").status_code == 401


def test_anothers_login_is_not_there(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for name in ("ada", "ben"):
            make_account(session, name, "admin")
        headers = [cookie_of(session, name) for name in ("ada", "ben")]
    with client_of(sessions) as client:
        [hers] = client.get("/api/me/sessions", headers=headers[0]).json()["items"]

        answer = client.delete(f"/api/me/sessions/{hers['id']}", headers=headers[1])

        assert answer.status_code == 404
        assert client.get("/api/me/sessions", headers=headers[0]).status_code == 200


@pytest.mark.usefixtures("ada")
def test_a_password_is_tried_ten_times_a_minute(client: TestClient) -> None:
    tries = [log_in(client, password="not this one") for _ in range(10)]
    answer = client.post("/api/session", json={"name": "ADA", "password": PASSWORD})

    assert tries == [401] * 10
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["detail"].startswith("That was more than 10 times in a minute")


def test_many_names_are_not_tried_from_one_address(sessions: Sessions) -> None:
    app = app_over(sessions)
    with client_of(sessions, app=app) as here, client_of(sessions, app=app, address="::1") as there:
        tries = [here.post("/api/links/look", json={"secret": "x"}).status_code for _ in range(51)]
        assert tries == [401] * 50 + [429]
        assert log_in(here) == 429
        assert log_in(there) == 401


def test_an_account_asks_so_often_and_no_more(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, requests_per_minute=3)
    with sessions.begin() as session:
        for name in ("ada", "ben"):
            make_account(session, name)
        ada, ben = (cookie_of(session, name) for name in ("ada", "ben"))

    with client_of(sessions) as client:
        statuses = [client.get("/api/releases", headers=ada).status_code for _ in range(4)]
        other = client.get("/api/releases", headers=ben).status_code

    assert statuses == [200, 200, 200, 429]
    assert other == 200


def test_a_change_stands_in_the_log_and_a_refused_one_does_not(
    sessions: Sessions, client: TestClient
) -> None:
    with sessions.begin() as session:
        session.execute(text("INSERT INTO job (kind, title, parameters) VALUES ('t', 't', '{}')"))

    assert client.post("/api/jobs/1/cancel").status_code == 200
    assert client.post("/api/jobs/2/cancel").status_code == 404

    with sessions() as session:
        (entry,), _ = list_audit(session)
    assert (entry.account, entry.action, entry.target, entry.address) == (
        "local",
        "POST /api/jobs/{job_id}/cancel",
        "/api/jobs/1/cancel",
        "127.0.0.1",
    )


@pytest.mark.usefixtures("ada")
def test_no_secret_reaches_a_log_or_an_error(
    sessions: Sessions, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with sessions.begin() as session:
        link = make_link(session, "ada", by=local_actor(session))
        token = make_token(session, "ada")
    secret = "a secret that is too short for nobody" * 40  # more than a password may have
    answers = [
        client.post("/api/session", json={"name": "ada", "password": secret}),
        client.post("/api/session", json={"name": "ada", "password": [secret]}),
        client.post("/api/session", json={"name": secret, "password": "x"}),
        client.post("/api/links/use", json={"secret": link, "password": secret}),
        client.post("/api/links/use", json={"secret": link, "password": "short"}),
        client.get("/api/releases", headers=bearer(token + "x")),
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 422, 422, 422, 401]
    said = caplog.text + "".join(answer.text for answer in answers)
    assert not any(word in said for word in (secret[:30], link, token))


def test_a_stream_ends_for_who_is_shut_out(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "WATCH_INTERVAL_S", 0)
    monkeypatch.setattr(jobs, "KNOWN_LOOKS", 2)
    with sessions.begin() as session:
        me = make_actor(session, "ada")
        session.execute(text("INSERT INTO job (kind, title, parameters) VALUES ('t', 't', '{}')"))
    known: list[Actor | None] = [me, me, None]

    async def watch() -> list[str]:
        stream = jobs._changes(sessions, None, me, lambda: known.pop(0))
        return [event async for event in stream]

    events = asyncio.run(asyncio.wait_for(watch(), timeout=30))

    assert len(events) == 1
    assert known == []


def test_who_watches_is_asked_again_by_what_they_showed(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_account(session, "ada")
        shown = bearer(make_token(session, "ada"))
    app = app_over(sessions)
    headers = [(name.lower().encode(), value.encode()) for name, value in shown.items()]
    request = Request({"type": "http", "app": app, "headers": headers, "client": ("::1", 1)})
    again = asking_again(request)

    before = again()
    with sessions.begin() as session:
        session.execute(text("UPDATE api_token SET revoked_at = now()"))

    assert before is not None
    assert before.name == "ada"
    assert again() is None
