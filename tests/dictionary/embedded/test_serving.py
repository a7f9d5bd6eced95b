"""`scopebook database`: the bundled PostgreSQL on a port, for programs of this machine."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.dictionary.embedded.processes import free_port, open_folder, processes_of, wait_for

from running import environment, run

COMMAND = [sys.executable, "-m", "scopebook.cli", "database"]


def started(folder: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--port", str(port)],
        # A supervisor gives all parts the same variables, of which one names what this one writes.
        env=environment(
            folder / "data", SCOPEBOOK_DATABASE_URL_FILE=str(folder / "data" / "database-url")
        ),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_it_serves_this_machine_by_an_address_in_a_private_file_and_stops_on_sigterm() -> None:
    with open_folder() as folder:
        port = free_port()
        process = started(folder, port)
        line = said(process)
        file = folder / "data" / "database-url"
        address = file.read_text().strip()

        assert f"PostgreSQL listens on 127.0.0.1:{port}" in line
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        password = address.split(":")[2].split("@")[0]
        assert password not in line
        with psycopg.connect(address.replace("+psycopg", "")) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address.replace("+psycopg", "").replace(password, "wrong"))

        refused = run(folder / "other", "database", "--port", str(port))
        assert refused.returncode == 1
        assert f"Port {port} is taken" in refused.stderr

        # A supervisor may send its signal to the command and to its group.
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        wait_for(lambda: processes_of(folder) == [])


def test_it_comes_back_by_the_same_address_when_its_server_is_killed() -> None:
    with open_folder() as folder:
        process = started(folder, free_port())
        said(process)
        address = (folder / "data" / "database-url").read_text().replace("+psycopg", "")
        [server] = [
            child for child in psutil.Process(process.pid).children() if "postgres" in child.name()
        ]

        server.kill()

        wait_for(lambda: _answers(address), within_s=120)
        process.terminate()
        assert process.wait(120) == 0


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
