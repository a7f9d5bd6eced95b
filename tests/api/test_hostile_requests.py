"""Requests and browsers that mean ill: what every answer tells browsers, what is not even read."""

import base64
import hashlib
import logging
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from makers import make_corpus, make_evidence, make_examples, make_release, make_run
from people import bearer, client_of, make_account, make_token
from scopebook import scan_files
from scopebook.db.sessions import Sessions
from scopebook.settings import settings, use_settings
from scopebook_api.app import STATIC
from scopebook_api.routers import accounts, lists

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@pytest.fixture
def changed() -> Iterator[None]:
    """Let a test change settings."""
    before = settings()
    yield
    use_settings(before)


def _directives(policy: str) -> dict[str, list[str]]:
    parts = [one.split() for one in policy.split(";")]
    return {name: values for name, *values in parts}


@pytest.mark.parametrize(
    "path",
    ["/", "/nowhere", "/embed/x", "/icon.svg", "/api/health", "/api/nowhere", "/api/docs"],
)
def test_every_answer_tells_browsers_what_to_hold_to(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    # Browsers may take the two together for an error of the network.
    sandboxed = "sandbox" in headers["Content-Security-Policy"]
    assert ("Cross-Origin-Opener-Policy" in headers) is not sandboxed
    assert "camera=()" in headers["Permissions-Policy"]
    policy = _directives(headers["Content-Security-Policy"])
    assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
    assert "'unsafe-eval'" not in headers["Content-Security-Policy"]
    assert policy["default-src"] in (["'self'"], ["'none'"])
    assert policy["frame-ancestors"] == (["'self'"] if path.startswith("/embed/") else ["'none'"])


def test_the_one_inline_script_of_the_pages_is_named_by_its_hash(client: TestClient) -> None:
    answer = client.get("/features")

    [script] = INLINE.findall((STATIC / "index.html").read_text())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = _directives(answer.headers["Content-Security-Policy"])
    assert policy["script-src"] == ["'self'", f"'sha256-{digest}'"]
    assert policy["style-src"] == ["'self'"]
    assert "style=" not in answer.text


def test_answers_of_the_api_may_load_and_run_nothing(client: TestClient) -> None:
    policy = _directives(client.get("/api/releases").headers["Content-Security-Policy"])

    assert policy["default-src"] == ["'none'"]
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_the_page_that_describes_the_api_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/api/docs").text

    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith("/") for address in addresses)
    assert {client.get(address).status_code for address in addresses} == {200}
    assert INLINE.findall(page) == []


def test_an_error_that_nobody_foresaw_has_the_headers_and_is_logged_in_one_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(accounts.account_changes, "find_person", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.post("/api/accounts/x%0A2026-01-01%20INFO%20all%20is%20well/link")

    assert answer.status_code == 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    said = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert said
    assert not any("\n" in line for line in said)


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_request_larger_than_allowed_is_refused_unread(
    client: TestClient, changed: None, in_pieces: bool
) -> None:
    use_settings(settings().model_copy(update={"request_mb": 1}))
    whole = b" " * (2 << 20)
    content = (whole[at : at + 65_536] for at in range(0, len(whole), 65_536))
    content = content if in_pieces else whole
    answer = client.post(
        "/api/scans", content=content, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 413
    assert "SCOPEBOOK_REQUEST_MB" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content",
    [b"[" * 200_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"1" * 100_000, b"\xff\xfe"],
    ids=["unclosed", "deep", "number", "no text"],
)
def test_json_that_is_made_to_break_parsers_is_refused(client: TestClient, content: bytes) -> None:
    answer = client.post(
        "/api/inspect", content=content, headers={"Content-Type": "application/json"}
    )

    assert 400 <= answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/labels", {"llm": {"endpoint": "http://169.254.169.254/v1", "model": "m"}}),
        ("/api/labels", {"embedder": "http://127.0.0.1:5432/v1", "embedder_model": "m"}),
        ("/api/scores", {"judge": {"endpoint": "http://[::1]:6379/v1", "model": "m"}}),
        (
            "/api/scores",
            {"judge": {"endpoint": "http://llm.example.org.evil.org/v1", "model": "m"}},
        ),
    ],
)
def test_an_editor_may_have_texts_sent_only_to_servers_that_the_settings_name(
    sessions: Sessions, changed: None, path: str, body: dict[str, object]
) -> None:
    use_settings(settings().model_copy(update={"servers": "http://llm.example.org/v1"}))
    with sessions.begin() as session:
        saes = make_release(session)
        run = make_run(session, saes, make_corpus(session, ["a b c"]))
        make_evidence(session, run, saes[0], 3, examples=make_examples([1]))
        make_account(session, "eve", "editor")
        token = make_token(session, "eve", "edit")

    wanted = {"release": RELEASE, "layers": [1], **body}
    with client_of(sessions, headers=bearer(token)) as client:
        refused = client.post(path, json=wanted)
        named = {"endpoint": "http://LLM.example.org/v1/", "model": "m"}
        kept = "llm" if path == "/api/labels" else "judge"
        allowed = client.post(path, json={"release": RELEASE, "layers": [1], kept: named})

    assert refused.status_code == 403, refused.text
    assert "SCOPEBOOK_SERVERS" in refused.json()["detail"]
    assert allowed.status_code != 403, allowed.text


def test_an_editor_is_told_which_servers_may_be_named_and_no_password_of_one(
    sessions: Sessions, changed: None
) -> None:
    named = {
        "llm_endpoint": "http://llm.example.org/v1",
        "llm_model": "a-model",
        "servers": "http://LLM.example.org/v1/ http://other.example.org/v1 http://u:pw@x.org/v1",
        "judge_endpoint": "/models/a-folder",
    }
    use_settings(settings().model_copy(update=named))
    with sessions.begin() as session:
        make_account(session, "ada", "admin")
        make_account(session, "eve", "editor")
        tokens = {
            "ada": make_token(session, "ada", "admin"),
            "eve": make_token(session, "eve", "edit"),
        }

    with client_of(sessions) as client:
        told = {
            name: client.get("/api/labels/servers", headers=bearer(token)).json()
            for name, token in tokens.items()
        }

    assert told["eve"] == {
        "items": [
            {"endpoint": "http://llm.example.org/v1", "model": "a-model"},
            {"endpoint": "http://other.example.org/v1", "model": None},
        ],
        "next": None,
        "others": False,
    }
    assert told["ada"] == told["eve"] | {"others": True}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_file_is_a_formula(start: str) -> None:
    attack = f"{start}HYPERLINK(0)"

    assert lists._cell(attack) == f"'{attack}"
    assert scan_files._csv_cell("label", attack) == f"'{attack}"
