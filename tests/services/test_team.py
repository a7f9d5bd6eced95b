"""A team's instance is built by its own commands over real servers, serves, and stops cleanly."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.dictionary.embedded.processes import open_folder
from tests.services.brokers import BROKERS
from tests.services.team import SCOPEBOOK, Team, answers, team, until

from running import environment, free_port
from scopebook.jobs import LIVE, QUEUES

PARTS = ("live", "worker", "sweep", "serve")


@pytest.fixture(scope="module", params=BROKERS)
def servers(request: pytest.FixtureRequest) -> Iterator[Team]:
    """An instance of which only the servers run, over each of the brokers in turn."""
    with open_folder() as folder, team(folder, request.param) as made:
        yield made


@pytest.fixture(scope="module")
def migrated(servers: Team) -> Team:
    """The same, its database brought up to date by two at once."""
    both = [servers.start(name, "migrate") for name in ("one", "two")]
    codes = [process.wait(600) for process in both]

    assert codes == [0, 0], servers.said("one") + servers.said("two")
    assert "The database is up to date." in servers.said("one")
    for name in ("one", "two"):
        del servers.parts[name]
    return servers


def test_nothing_starts_before_the_database_is_migrated(servers: Team) -> None:
    done = servers.run("sweep", "--wait", "0")

    assert (done.returncode, done.stdout) == (1, "")
    assert "is at revision None, not" in done.stderr
    assert "run `scopebook migrate`" in done.stderr


@pytest.mark.parametrize("part", ["migrate", "serve", "worker", "sweep"])
def test_a_part_without_servers_says_which_setting_names_them(tmp_path: Path, part: str) -> None:
    done = _run(tmp_path, part)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "SCOPEBOOK_DATABASE_URL is not set" in done.stderr


def test_migrating_waits_for_a_database_that_comes_late(migrated: Team, tmp_path: Path) -> None:
    port = free_port()
    waiting = subprocess.Popen(
        [*SCOPEBOOK, "migrate"],
        env=environment(
            tmp_path, SCOPEBOOK_DATABASE_URL=f"postgresql://postgres:x@127.0.0.1:{port}/x"
        ),
        stderr=subprocess.PIPE,
        text=True,
    )
    # Knocks are heard, so it tries again and again.
    with socket.create_server(("127.0.0.1", port)) as late:
        late.settimeout(60)
        for _ in range(2):
            late.accept()[0].close()
    waiting.terminate()
    waiting.communicate(timeout=60)


def test_an_address_for_others_is_not_served_without_an_account(migrated: Team) -> None:
    done = migrated.run("serve", "--host", "0.0.0.0", "--port", str(free_port()))

    assert (done.returncode, done.stdout) == (1, "")
    assert "Others can reach 0.0.0.0, and there is no account yet" in done.stderr


def test_all_parts_answer_and_stop_on_sigterm(migrated: Team) -> None:
    port = _start_parts(migrated)
    until(lambda: answers(port))
    asked = [part for queue in (*QUEUES, LIVE) for part in ("--queue", queue)]
    until(lambda: migrated.run("worker-health", *asked).returncode == 0)

    health = httpx2.get(f"http://127.0.0.1:{port}/api/health", timeout=60)
    stopped = {name: migrated.stop(name) for name in PARTS}

    assert health.json()["status"] == "ok"
    for name, (code, took_s, out) in stopped.items():
        # Uvicorn ends by the signal itself once all is closed.
        assert code == (-signal.SIGTERM if name == "serve" else 0), migrated.said(name)
        assert took_s < 30
        assert out == b""
        assert "Traceback" not in migrated.said(name)
        assert "geheim" not in migrated.said(name)
    assert "Uvicorn running" in migrated.said("serve")
    assert migrated.run("worker-health").returncode == 1


def test_the_demo_is_built_served_searched_and_run_live(migrated: Team) -> None:
    port = _start_parts(migrated)

    built = migrated.run("demo", "--json")

    assert built.returncode == 0, built.stderr + migrated.said("worker")
    assert json.loads(built.stdout)["labelled"] > 0
    asked = {"q": "Chinese text"}
    found = httpx2.get(f"http://127.0.0.1:{port}/api/search", params=asked, timeout=60).json()
    assert found["items"]
    inspected = migrated.run("inspect", "Scopebook-Demo-4M-Base", "Guten Morgen", "--json")
    assert inspected.returncode == 0, inspected.stderr + migrated.said("live")
    for name in PARTS:
        migrated.stop(name)


def _start_parts(migrated: Team) -> int:
    port = free_port()
    migrated.start("serve", "serve", "--port", str(port))
    migrated.start("sweep", "sweep")
    migrated.start("worker", "worker", "--queues", "cpu,gpu,llm", "--processes", "1")
    migrated.start("live", "worker", "--queues", "live")
    return port


def test_the_first_admin_gets_a_link_and_others_may_then_be_served(migrated: Team) -> None:
    made = migrated.run("migrate", "--first-admin", "ada")
    assert re.search(r"password of the admin ada: http://\S+/welcome#\S{20,}", made.stderr)
    port = free_port()

    migrated.start("serve", "serve", "--host", "0.0.0.0", "--port", str(port))

    until(lambda: answers(port))
    assert httpx2.get(f"http://127.0.0.1:{port}/api/search", timeout=60).status_code == 401
    migrated.stop("serve")


def _run(data_dir: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scopebook.cli", *command],
        env=environment(data_dir, **variables),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
