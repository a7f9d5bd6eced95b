"""Logging in by an OpenID provider: whom it lets in, and every way in which it must not."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from starlette.requests import cookie_parser

from oidc_provider import CLIENT, SECRET, Provider, serve_provider
from people import HERE, PASSWORD, client_of, make_account
from scopebook.account_changes import disable_account
from scopebook.accounts import local_actor
from scopebook.db.account_tables import Account
from scopebook.db.sessions import Sessions
from scopebook.settings import Settings

REFUSED = "/login?refused=provider"
CLAIMS = ("iss", "aud", "nonce", "exp", "sub")


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that vouches for number 17."""
    with serve_provider() as provider:
        yield provider


@pytest.fixture
def client(
    sessions: Sessions, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """A browser before an instance that has an admin and knows the provider."""
    with sessions.begin() as session:
        make_account(session, "ada", "admin")
    choose(monkeypatch, provider)
    with client_of(sessions) as client:
        client.follow_redirects = False
        yield client


def choose(monkeypatch: pytest.MonkeyPatch, provider: Provider, **more: Any) -> None:
    chosen = Settings(
        oidc_issuer=provider.url,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,  # type: ignore[arg-type]
        oidc_name="Our Login",
        **more,
    )
    monkeypatch.setattr("scopebook.settings._Current.settings", chosen)


def at_the_provider(client: TestClient, following: str = "/map?release=x") -> str:
    """Go to the provider and log in there; return where it sends the browser back to."""
    sent = client.get("/api/provider", params={"next": following})
    assert sent.status_code == 303, sent.text
    back = httpx2.get(sent.headers["location"]).headers["location"]
    assert back.startswith(f"{HERE}/api/provider/callback?")
    return str(back.removeprefix(HERE))


def come_in(client: TestClient) -> str:
    """Log in by the provider; return where the browser ends up."""
    return str(client.get(at_the_provider(client)).headers["location"])


def who(client: TestClient) -> dict[str, str] | None:
    me: dict[str, str] | None = client.get("/api/session").json()["me"]
    return me


def test_somebody_new_gets_an_account_and_comes_back_to_it(
    sessions: Sessions, client: TestClient, provider: Provider
) -> None:
    provider.person = {"sub": "17", "preferred_username": "Ben B@ker", "email": "ben@a.example"}
    assert client.get("/api/session").json()["provider"] == "Our Login"

    assert come_in(client) == "/map?release=x"
    assert who(client) == {"name": "Ben.B", "role": "viewer", "via": "login"}
    client.cookies.clear()
    provider.person["preferred_username"] = "renamed"
    come_in(client)

    assert who(client) == {"name": "Ben.B", "role": "viewer", "via": "login"}
    with sessions() as session:
        account = session.scalars(select(Account).where(Account.name == "Ben.B")).one()
        assert (account.issuer, account.subject) == (provider.url, "17")
        assert account.password_hash is None


def test_nobody_comes_into_an_account_by_calling_themselves_so(
    client: TestClient, provider: Provider
) -> None:
    names = []
    for number, name in enumerate(["ADA", "local", "ada"]):
        provider.person = {"sub": str(number), "preferred_username": name}
        client.cookies.clear()
        come_in(client)
        me = who(client)
        assert me is not None
        assert me["role"] == "viewer"
        names.append(me["name"])

    assert names == ["ADA-2", "local-2", "ada-3"]


@pytest.mark.parametrize("claims", [{}, {"preferred_username": " / "}, {"email": 5}])
def test_who_has_no_name_gets_a_number(
    client: TestClient, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.person = {"sub": "17", **claims}

    come_in(client)

    me = who(client)
    assert me is not None
    assert me["name"] == "person-1"


def set_to(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda claims: claims.update(values)


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda claims: claims.pop(name)


@pytest.mark.parametrize(
    "spoil",
    [
        set_to(iss="https://elsewhere.example"),
        set_to(aud="another-client"),
        set_to(nonce="of another visit"),
        set_to(exp=int(time.time()) - 300),
        *(without(name) for name in CLAIMS),
    ],
    ids=[
        "issuer",
        "client",
        "visit",
        "late",
        *(f"no {n}" for n in ["iss", "aud", "nonce", "exp", "sub"]),
    ],
)
def test_what_is_said_for_others_or_too_late_lets_nobody_in(
    client: TestClient, provider: Provider, spoil: Callable[[dict[str, Any]], object]
) -> None:
    provider.spoil = spoil

    assert come_in(client) == REFUSED
    assert len(provider.issued) == 1
    assert who(client) is None


@pytest.mark.parametrize("lie", ["none", "HS256", "foreign key"])
def test_what_the_provider_has_not_signed_lets_nobody_in(
    client: TestClient, provider: Provider, lie: str
) -> None:
    provider.foreign_key = lie == "foreign key"
    provider.algorithm = "RS256" if provider.foreign_key else lie

    assert come_in(client) == REFUSED
    assert len(provider.issued) == 1
    assert who(client) is None


def test_a_code_is_good_in_the_browser_that_asked_and_once(
    sessions: Sessions, client: TestClient
) -> None:
    back = at_the_provider(client)
    with client_of(sessions) as other:
        other.follow_redirects = False
        stolen = other.get(back)
        assert stolen.headers["location"] == REFUSED
        assert who(other) is None
    first = client.get(back)
    assert who(client) is not None
    client.cookies.clear()
    again = client.get(back)

    assert first.headers["location"] == "/map?release=x"
    assert again.headers["location"] == REFUSED
    assert who(client) is None


def test_another_state_than_the_one_that_was_sent_lets_nobody_in(client: TestClient) -> None:
    code = parse_qs(urlsplit(at_the_provider(client)).query)["code"][0]

    answer = client.get("/api/provider/callback", params={"code": code, "state": "another"})

    assert answer.headers["location"] == REFUSED


@pytest.mark.parametrize("cookie", ["", "zz", "7b7d", "5b5d", "22"])
def test_a_spoiled_cookie_of_a_visit_lets_nobody_in(client: TestClient, cookie: str) -> None:
    back = at_the_provider(client)
    client.cookies.clear()

    answer = client.get(back, headers={"Cookie": f"scopebook_visit={cookie}"})

    assert answer.headers["location"] == REFUSED


@pytest.mark.parametrize("following", ["//elsewhere.example", "https://a.example", "/\\a", "a", ""])
def test_the_way_back_leads_to_no_other_site(client: TestClient, following: str) -> None:
    back = at_the_provider(client, following)

    assert client.get(back).headers["location"] == "/"


def test_a_disabled_account_is_not_let_in_by_another_door(
    sessions: Sessions, client: TestClient, provider: Provider
) -> None:
    provider.person = {"sub": "17", "preferred_username": "ben"}
    come_in(client)
    with sessions.begin() as session:
        disable_account(session, "ben", by=local_actor(session))

    assert come_in(client) == REFUSED
    assert who(client) is None


def test_nobody_new_is_let_in_where_that_is_not_wanted(
    client: TestClient, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, provider, oidc_new_role=None)

    assert come_in(client) == REFUSED


def test_an_instance_without_an_admin_is_not_taken_by_who_comes_first(
    sessions: Sessions, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, provider)
    with client_of(sessions) as client:
        client.follow_redirects = False
        assert come_in(client) == REFUSED


def test_a_person_of_the_provider_has_no_password_to_guess(
    client: TestClient, provider: Provider
) -> None:
    provider.person = {"sub": "17", "preferred_username": "ben"}
    come_in(client)
    client.cookies.clear()

    for password in ("", PASSWORD):
        answer = client.post("/api/session", json={"name": "ben", "password": password})
        assert answer.status_code == 401


def test_a_provider_that_calls_itself_otherwise_is_not_asked(
    client: TestClient, provider: Provider
) -> None:
    provider.calls_itself = "https://elsewhere.example"

    answer = client.get("/api/provider")

    assert answer.status_code == 503
    assert "calls itself https://elsewhere.example" in answer.json()["detail"]


def test_a_provider_that_is_down_is_told_so(
    sessions: Sessions, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.url = "http://127.0.0.1:1"
    choose(monkeypatch, provider)

    with client_of(sessions) as client:
        answer = client.get("/api/provider")

    assert answer.status_code == 503
    assert "Our Login does not answer" in answer.json()["detail"]


def test_without_a_provider_there_is_no_such_way(sessions: Sessions) -> None:
    with client_of(sessions) as client:
        answer = client.get("/api/provider")

    assert answer.status_code == 404
    assert "SCOPEBOOK_OIDC_ISSUER" in answer.json()["detail"]


def test_the_cookie_of_a_visit_goes_nowhere_else(client: TestClient) -> None:
    cookie = client.get("/api/provider").headers["set-cookie"]

    assert cookie_parser(cookie.split(";")[0]).keys() == {"scopebook_visit"}
    for part in ("HttpOnly", "Path=/api/provider", "SameSite=lax", "Max-Age=600"):
        assert part in cookie
