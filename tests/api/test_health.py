"""Alive means that the process answers; ready, that what it needs does."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from apps import app_over
from people import HERE
from scopebook.db.sessions import Sessions
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.settings import Settings, settings, use_settings
from scopebook_api import readiness

READY = "/api/health/ready"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedValkey(tmp_path_factory.mktemp("broker"))
    server.start()
    yield server.url()
    server.stop()


@pytest.fixture(autouse=True)
def chosen(tmp_path: Path, broker: str) -> Iterator[Settings]:
    before = settings()
    use_settings(Settings(data_dir=tmp_path, broker_url=broker))
    yield settings()
    use_settings(before)


def look(sessions: Sessions) -> tuple[int, dict[str, str], str]:
    """Return the status, what is missing, and the whole answer."""
    with TestClient(app_over(sessions), base_url=HERE) as client:
        answer = client.get(READY)
        assert client.get("/api/health").json() == {"status": "ok"}
    said = answer.json()
    missing = {check["name"]: check["says"] for check in said["checks"] if not check["ok"]}
    return answer.status_code, missing, answer.text


def test_all_that_is_needed_is_there(sessions: Sessions, tmp_path: Path) -> None:
    with TestClient(app_over(sessions), base_url=HERE) as client:
        said = client.get(READY).json()

    assert said["status"] == "ready"
    assert [check["name"] for check in said["checks"]] == ["database", "broker", "artifacts"]
    assert all(check["ok"] and check["ms"] >= 0 for check in said["checks"])
    # What was written to see whether it can be is gone.
    assert not [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()]


def test_a_database_that_is_away_is_named_and_its_address_is_not() -> None:
    url = "postgresql+psycopg://somebody:hunter2@127.0.0.1:1/x"

    status, missing, whole = look(sessionmaker(create_engine(url)))

    assert status == 503
    assert missing == {"database": "the database does not answer"}
    assert "127.0.0.1" not in whole
    assert "hunter2" not in whole


@pytest.mark.parametrize(
    ("revision", "says"), [("0003", "lacks migrations"), ("9999", "of a newer version")]
)
def test_a_database_behind_or_ahead_is_not_ready(
    sessions: Sessions, revision: str, says: str
) -> None:
    with sessions.begin() as session:
        session.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))

    status, missing, _ = look(sessions)

    assert status == 503
    assert says in missing["database"]


def test_a_broker_that_is_away_is_named(sessions: Sessions, tmp_path: Path) -> None:
    use_settings(Settings(data_dir=tmp_path, broker_url="redis://127.0.0.1:1/0"))

    status, missing, _ = look(sessions)

    assert (status, missing) == (503, {"broker": "the broker does not answer"})


def test_artifacts_that_take_no_file_are_named(sessions: Sessions, tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("a file where a folder should be")

    status, missing, whole = look(sessions)

    assert status == 503
    assert "the artifacts cannot be written to (" in missing["artifacts"]
    assert str(tmp_path) not in whole


def test_a_server_that_takes_a_connection_and_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_LIMIT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        use_settings(Settings(data_dir=tmp_path, broker_url=f"redis://127.0.0.1:{port}/0"))
        url = f"postgresql+psycopg://x@127.0.0.1:{port}/x"
        with TestClient(app_over(sessionmaker(create_engine(url))), base_url=HERE) as client:
            began = time.monotonic()
            answer = client.get(READY)
            took = time.monotonic() - began

    missing = {check["name"] for check in answer.json()["checks"] if not check["ok"]}
    assert missing == {"database", "broker"}
    assert took < 5


def test_who_asks_often_makes_one_look(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(readiness, "check_broker", lambda _: looks.append(1))
    monkeypatch.setattr(readiness, "_FRESH_S", 60.0)

    with TestClient(app_over(sessions), base_url=HERE) as client:
        threads = [threading.Thread(target=client.get, args=(READY,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(looks) == 1
