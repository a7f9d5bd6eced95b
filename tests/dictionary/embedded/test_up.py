import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psutil
import pytest
from tests.dictionary.embedded.processes import (
    Up,
    as_somebody,
    ended,
    free_port,
    open_folder,
    owners_of,
    processes_of,
    wait_for,
)

from scopebook.embedded.folder import DataFolder
from scopebook.embedded.ports import require_free_port
from scopebook.embedded.programs import accepts
from scopebook.errors import InvalidInputError


class Start(Protocol):
    def __call__(self, port: int | None = None, *, stubborn: bool = False) -> Up: ...


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """One folder for all starts: most claims are about what an earlier one left behind."""
    with open_folder() as folder:
        yield folder / "data"
        wait_for(lambda: processes_of(folder / "data") == [])


@pytest.fixture
def start(data_dir: Path) -> Iterator[Start]:
    started: list[Up] = []

    def start(port: int | None = None, *, stubborn: bool = False) -> Up:
        started.append(Up(data_dir, port or free_port(), stubborn=stubborn))
        return started[-1]

    yield start
    for up in started:
        up.kill()


@pytest.fixture(scope="module")
def watched() -> Iterator[Up]:
    """An instance that is up, in a folder of its own, for claims that leave it so."""
    with open_folder() as folder:
        up = Up(folder / "data", free_port()).wait_until_ready()
        yield up
        up.kill()
        wait_for(lambda: processes_of(up.data_dir) == [])


def test_a_ready_instance_says_where_it_answers(watched: Up) -> None:
    said = json.loads((watched.data_dir / "instance.json").read_text())

    assert said["api_url"] == f"http://localhost:{watched.port}"
    assert said["pid"] == watched.process.pid
    assert said["database_url"].startswith("postgresql+psycopg://")
    assert said["broker_url"].startswith("redis+socket:///")
    assert f"ready: http://localhost:{watched.port}" in watched.said()


def test_the_programs_know_the_servers_of_their_instance(watched: Up) -> None:
    said = json.loads((watched.data_dir / "instance.json").read_text())

    environment = watched.part("time.sleep").environ()

    assert environment["SCOPEBOOK_DATABASE_URL"] == said["database_url"]
    assert environment["SCOPEBOOK_BROKER_URL"] == said["broker_url"]
    assert environment["SCOPEBOOK_DATA_DIR"] == str(watched.data_dir)
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environment["TOKENIZERS_PARALLELISM"] == "false"


def test_a_second_up_on_the_same_folder_says_where_the_first_one_is(
    watched: Up,
) -> None:
    second = Up(watched.data_dir, free_port())

    assert second.process.wait(30) == 1
    assert f"already runs (pid {watched.process.pid})" in second.said()
    assert f"at http://localhost:{watched.port}" in second.said()
    assert watched.process.poll() is None


@pytest.mark.parametrize("part", ["postgres -D", "valkey-server", "os.fork", "http.server"])
def test_what_is_killed_comes_back(watched: Up, part: str) -> None:
    killed = watched.part(part)
    family = [killed, *killed.children()]

    killed.kill()

    wait_for(lambda: all(map(ended, family)))
    wait_for(lambda: _part(watched, part) not in (None, killed))
    wait_for(lambda: accepts("127.0.0.1", watched.port))
    assert watched.process.poll() is None


def _part(up: Up, words: str) -> psutil.Process | None:
    try:
        return up.part(words)
    except (StopIteration, psutil.Error):
        return None


@pytest.fixture
def hang_up_counts() -> Iterator[None]:
    """Let started programs heed SIGHUP, also when the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_counts")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_the_exit_code_is_zero(
    data_dir: Path, start: Start, number: int
) -> None:
    up = start().wait_until_ready()

    code = up.stop(number)

    assert code == 0
    assert processes_of(data_dir) == []
    assert not (data_dir / "instance.json").exists()
    log = (data_dir / "logs" / "postgres.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_nothing_is_left_of_a_killed_supervisor_and_what_it_wrote_is_not_believed(
    data_dir: Path, start: Start
) -> None:
    up = start().wait_until_ready()

    up.process.kill()
    up.process.wait()

    wait_for(lambda: processes_of(data_dir) == [], within_s=60)
    assert (data_dir / "instance.json").exists()
    assert DataFolder(data_dir).running() is None


def test_a_start_right_after_a_kill_waits_for_what_is_still_ending(
    data_dir: Path, start: Start
) -> None:
    killed = start().wait_until_ready()
    killed.process.kill()
    killed.process.wait()

    up = start(killed.port).wait_until_ready()

    running = DataFolder(data_dir).running()
    assert running is not None
    assert running.pid == up.process.pid


def test_a_taken_port_is_named_with_its_owner_and_nothing_is_started(
    data_dir: Path, start: Start
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        up = start(port)

        code = up.process.wait(30)

    assert code == 1
    assert f"Port {port} is taken by " in up.said()
    assert f"(pid {os.getpid()})" in up.said()
    assert "--port" in up.said()
    assert "Traceback" not in up.said()
    assert processes_of(data_dir) == []


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"192\.0\.2\.1 is not an address of this machine"):
        require_free_port("192.0.2.1", 8000)


def test_a_normal_user_starts_and_stops_an_instance() -> None:
    with open_folder() as folder:
        up = Up(folder / "data", free_port(), prefix=as_somebody()).wait_until_ready()
        uids = owners_of(up.data_dir)

        code = up.stop(signal.SIGINT)

        assert code == 0
        assert len(uids) == 1
        assert 0 not in uids
        assert processes_of(up.data_dir) == []
        assert up.data_dir.stat().st_mode & 0o777 == 0o700


def test_a_second_signal_forces_the_end(data_dir: Path, start: Start) -> None:
    up = start(stubborn=True).wait_until_ready()
    up.process.send_signal(signal.SIGINT)
    wait_for(lambda: "Stopping" in up.said())
    assert up.process.poll() is None

    code = up.stop(signal.SIGINT)

    assert code == 1
    assert processes_of(data_dir) == []
