import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.dictionary.embedded.processes import (
    SMALL_UP,
    Up,
    as_somebody,
    free_port,
    open_folder,
    owners_of,
    processes_of,
    wait_for,
)

from scopebook.embedded import connection
from scopebook.embedded.connection import connect
from scopebook.embedded.folder import DataFolder
from scopebook.errors import InstanceError
from scopebook.settings import Settings

#: A command that connects, says where to, and works until its input ends.
COMMAND = f"""
import sys
from pathlib import Path
from scopebook.embedded import connection
from scopebook.settings import Settings
connection._BACKGROUND = [sys.executable, {str(SMALL_UP)!r}, "background"]
settings = Settings(data_dir=Path(sys.argv[1]))
with connection.connect(settings, work="work" in sys.argv) as found:
    print(found.database_url, found.broker_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder / "data"
        wait_for(lambda: processes_of(folder / "data") == [])


class Command:
    """A command in a process of its own, as two terminals would run them."""

    def __init__(self, data_dir: Path, *words: str, prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", COMMAND, str(data_dir), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def urls(self) -> tuple[str, str]:
        assert self.process.stdout
        database_url, broker_url = self.process.stdout.readline().split()
        return database_url, broker_url

    def finish(self) -> int:
        self.process.communicate(timeout=300)
        return self.process.returncode


def nothing_runs(data_dir: Path) -> bool:
    """Tell whether nothing runs any more; a process that has let go may need a moment to vanish."""
    wait_for(lambda: processes_of(data_dir) == [], within_s=20)
    return True


def _answers(database_url: str) -> bool:
    with psycopg.connect(database_url.replace("+psycopg", "")) as database:
        return database.execute("SELECT 1").fetchone() == (1,)


def test_external_servers_are_given_as_they_are(tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql+psycopg://db/x", broker_url="redis://b/0")

    with connect(settings.model_copy(update={"data_dir": tmp_path}), work=True) as found:
        assert found == ("postgresql+psycopg://db/x", "redis://b/0")

    assert list(tmp_path.iterdir()) == []


def test_a_command_that_only_reads_starts_the_database_alone_and_stops_it(data_dir: Path) -> None:
    command = Command(data_dir)

    database_url, broker_url = command.urls()

    assert _answers(database_url)
    assert broker_url == "None"
    assert command.finish() == 0
    assert nothing_runs(data_dir)


def test_two_commands_at_once_share_one_instance_until_both_are_done(data_dir: Path) -> None:
    commands = [Command(data_dir), Command(data_dir)]

    urls = [command.urls()[0] for command in commands]

    assert urls[0] == urls[1]
    assert commands[0].finish() == 0
    assert _answers(urls[1])
    assert commands[1].finish() == 0
    assert nothing_runs(data_dir)


def test_a_command_that_needs_workers_gets_them_from_an_instance_without(data_dir: Path) -> None:
    reading = Command(data_dir)
    database_url, _ = reading.urls()

    working = Command(data_dir, "work")

    assert working.urls()[0] == database_url
    running = DataFolder(data_dir).running()
    assert running is not None
    assert running.broker_url is not None
    assert working.finish() == 0
    assert _answers(database_url)
    assert reading.finish() == 0
    assert nothing_runs(data_dir)


def test_the_instance_of_a_killed_command_ends(data_dir: Path) -> None:
    command = Command(data_dir, "work")
    command.urls()

    command.process.kill()
    command.process.communicate()

    wait_for(lambda: processes_of(data_dir) == [])


def test_ctrl_c_in_a_command_leaves_nothing_running(data_dir: Path) -> None:
    command = Command(data_dir)
    command.urls()

    command.process.send_signal(signal.SIGINT)

    command.process.communicate(timeout=300)
    assert nothing_runs(data_dir)


def test_a_command_joins_an_instance_that_is_up_and_leaves_it_up() -> None:
    with open_folder() as folder:
        up = Up(folder / "data", free_port())  # not waited for: the command does
        command = Command(up.data_dir, "work")

        database_url, broker_url = command.urls()

        assert broker_url.startswith("redis+socket")
        assert command.finish() == 0
        assert up.process.poll() is None
        assert _answers(database_url)
        assert up.stop(signal.SIGTERM) == 0


def test_up_waits_for_the_commands_that_use_the_folder(data_dir: Path) -> None:
    command = Command(data_dir)
    command.urls()

    up = Up(data_dir, free_port())

    wait_for(lambda: "Another command uses" in up.said())
    assert command.finish() == 0
    up.wait_until_ready()
    assert up.stop(signal.SIGTERM) == 0


def test_an_instance_that_cannot_start_says_why_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postgres-home").write_text("/var/lib/scopebook/gone\n")
    monkeypatch.setattr(connection, "_BACKGROUND", [sys.executable, str(SMALL_UP), "background"])

    with (
        pytest.raises(InstanceError, match="/var/lib/scopebook/gone, which is gone"),
        connect(Settings(data_dir=tmp_path), work=False),
    ):
        pass


def test_a_normal_user_needs_no_more_than_their_folder() -> None:
    with open_folder() as folder:
        command = Command(folder / "data", prefix=as_somebody())

        assert _answers(command.urls()[0])
        uids = owners_of(folder / "data")
        assert command.finish() == 0

        assert (0 in uids) == (os.geteuid() == 0 and not as_somebody())
