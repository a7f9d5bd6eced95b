"""Several API processes: they count together, one that dies is made anew, none is left behind."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from people import bearer, make_account, make_token
from running import SCOPEBOOK, environment, free_port, run
from scopebook.api_processes import METRICS_DIR, common_variables, counted_in
from scopebook.db.sessions import Sessions
from scopebook.embedded.programs import api
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.settings import Settings

ALLOWED = 60


def until(claim: Callable[[], object], within_s: float = 120.0) -> None:
    end = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.1)


class Served:
    """One `scopebook serve` of two processes, and a token."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, secret: str) -> None:
        self.process, self.port, self.secret = process, port, secret

    def ask(self, path: str = "/api/jobs") -> httpx2.Response:
        """Ask over a connection of its own, which either process may take."""
        headers = bearer(self.secret) | {"Connection": "close"}
        return httpx2.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=60)

    def answers(self) -> bool:
        assert self.process.poll() is None, "it ended"
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/api/health").status_code == 200
        except httpx2.HTTPError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Those that answer."""
        found = psutil.Process(self.process.pid).children()
        return [one for one in found if _is_api(one)]

    def counted(self) -> float:
        """How many times the jobs were asked for, as a scrape tells it."""
        families = text_string_to_metric_families(self.ask("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == "scopebook_http_requests_total"
            and sample.labels["route"] == "/api/jobs"
        )


def _is_api(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path)
    server.start()
    yield server
    server.stop()


@contextmanager
def _serving(tmp_path: Path, secret: str, **variables: str) -> Iterator[Served]:
    port = free_port()
    (tmp_path / "tmp").mkdir()
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*SCOPEBOOK, "serve", "--processes", "2", "--port", str(port)],
            env=environment(tmp_path, **variables, TMPDIR=str(tmp_path / "tmp")),
            stdout=log,
            stderr=log,
        )
    served = Served(process, port, secret)
    try:
        until(served.answers)
        until(lambda: len(served.processes()) == 2)
        yield served
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def served(
    tmp_path: Path, sessions: Sessions, database_url: str, broker: EmbeddedValkey
) -> Iterator[Served]:
    with sessions.begin() as session:
        make_account(session, "ada", "admin")
        secret = make_token(session, "ada")
    with _serving(
        tmp_path,
        secret,
        SCOPEBOOK_DATABASE_URL=database_url,
        SCOPEBOOK_BROKER_URL=broker.url(),
        SCOPEBOOK_REQUESTS_PER_MINUTE=str(ALLOWED),
        SCOPEBOOK_LOG_FORMAT="json",
    ) as one:
        yield one


def test_two_processes_count_as_one_and_end_as_one(
    served: Served, tmp_path: Path, broker: EmbeddedValkey
) -> None:
    said = [served.ask().status_code for _ in range(ALLOWED + 20)]

    assert said == [200] * ALLOWED + [429] * 20

    # Whichever answers, a scrape tells of both.
    assert {served.counted() for _ in range(10)} == {ALLOWED + 20}

    broker.stop()
    assert {served.ask().status_code for _ in range(4)} == {200}, "each counts by itself"

    # A process that dies is made anew, and what it had counted is not lost.
    known = {one.pid for one in served.processes()}
    lost = served.processes()[0]
    lost.kill()
    until(lambda: len({one.pid for one in served.processes()} - known) == 1)
    until(served.answers)
    assert served.counted() == ALLOWED + 24

    # Nobody is left behind when the one that started them is killed: the port is free again.
    children = served.processes()
    served.process.kill()
    served.process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []

    log = (tmp_path / "serve.log").read_text()
    messages = [json.loads(line)["message"] for line in log[log.index("{") :].splitlines()]
    assert any("parent process" in one for one in messages), "the one that watches them, too"
    assert any("each process counts by itself" in one for one in messages)


def test_what_processes_counted_in_goes_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / "scopebook-api-999999999-abc"
    other = tmp_path / "scopebook-apian-1"
    left.mkdir()
    other.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / "scopebook-api-999999998-link").symlink_to(elsewhere)
    folder = Path(common_variables()[METRICS_DIR])
    again = Path(common_variables()[METRICS_DIR])

    assert not left.exists()
    assert other.exists()
    assert (elsewhere / "kept").exists()
    assert folder.exists(), "its process still runs"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert again != folder


def test_a_table_of_programs_that_starts_nothing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    api(Settings(api_processes=2))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("broker_url", "counted"),
    [
        ("redis://:secret@host:6379/3", "redis://:secret@host:6379/3"),
        ("redis+socket:///run/valkey.sock?virtual_host=2", "redis+unix:///run/valkey.sock?db=2"),
    ],
)
def test_several_count_in_the_broker(broker_url: str, counted: str) -> None:
    assert counted_in(Settings(api_processes=2, broker_url=broker_url)) == counted
    assert counted_in(Settings(api_processes=1, broker_url=broker_url)) == "memory://"
    own = "redis://elsewhere:6379"
    assert (
        counted_in(Settings(api_processes=2, broker_url=broker_url, rate_limit_storage=own)) == own
    )


def test_over_rabbitmq_several_need_a_place_to_count(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        "serve",
        "--processes",
        "2",
        SCOPEBOOK_BROKER_URL="amqp://guest:secret@127.0.0.1/",
        SCOPEBOOK_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
    )

    assert said.returncode == 2
    assert "SCOPEBOOK_RATE_LIMIT_STORAGE" in said.stderr
    assert "secret" not in said.stderr
