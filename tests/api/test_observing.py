"""Every request has an id and a line in the log; neither tells what was asked for."""

import logging
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from people import bearer, client_of, make_account, make_token
from scopebook.db.sessions import Sessions
from scopebook.log_fields import log_fields

LOGGER = "scopebook_api.observing"


class Kept(logging.Handler):
    """Keeps lines with the fields they would be written with."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("httpx2"):  # of the client that asks
            return
        self.lines.append(
            {**log_fields(), **vars(record), "message": record.getMessage(), "name": record.name}
        )


@pytest.fixture
def kept() -> Iterator[Kept]:
    kept, root = Kept(), logging.getLogger()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.INFO)
    yield kept
    root.removeHandler(kept)
    root.setLevel(level)


def test_a_sane_id_is_taken_and_another_one_is_made(client: TestClient) -> None:
    given = client.get("/api/status", headers={"X-Request-ID": "trace-1.2:3"})
    made = [client.get("/api/status").headers["x-request-id"] for _ in range(2)]
    for strange in ("", "a b", "<script>", "x" * 101, "a\tb"):
        answer = client.get("/api/status", headers={"X-Request-ID": strange})
        assert answer.headers["x-request-id"] != strange
        assert len(answer.headers["x-request-id"]) == 32

    assert given.headers["x-request-id"] == "trace-1.2:3"
    assert len(set(made)) == 2


@pytest.mark.parametrize(
    ("path", "status"), [("/api/jobs/999999", 404), ("/api/nothing", 404), ("/api/jobs/x", 422)]
)
def test_a_problem_names_the_request(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path, headers={"X-Request-ID": "r-7"})

    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r-7"


def test_an_error_nobody_foresaw_is_found_in_the_log_by_its_id(
    sessions: Sessions, client: TestClient, kept: Kept
) -> None:
    with sessions.begin() as session:
        session.execute(text("DROP TABLE label_embedding, label_choice, label CASCADE"))

    answer = client.get("/api/search?q=a+private+thought", headers={"X-Request-ID": "r-8"})

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "r-8"
    [told] = [line for line in kept.lines if line["exc_info"]]
    assert told["request_id"] == "r-8"
    [line] = [line for line in kept.lines if line["name"] == LOGGER]
    assert (line["status"], line["route"]) == (500, "/api/search")
    assert "private" not in "".join(str(line["message"]) for line in kept.lines)


def test_a_line_has_method_route_status_time_and_who_asked(sessions: Sessions, kept: Kept) -> None:
    with sessions.begin() as session:
        account_id = make_account(session, "ada", "viewer").id
        secret = make_token(session, "ada")

    with client_of(sessions) as client:
        client.get("/api/jobs/999999?x=secret", headers=bearer(secret))
        client.get("/api/health", headers=bearer(secret))

    [line] = [line for line in kept.lines if line["name"] == LOGGER]
    assert line["message"] == f"GET /api/jobs/{{job_id}} 404 {line['ms']} ms"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/jobs/{job_id}", 404)
    assert 0 < float(str(line["ms"])) < 60_000
    assert line["account"] == account_id
    assert not any(secret in str(line) or "x=secret" in str(line["message"]) for line in kept.lines)
