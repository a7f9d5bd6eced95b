"""A team's instance as plain processes: each part by its own command, over servers on ports.

`TEST_DATABASE_URL` names a PostgreSQL to run over, in databases of their own; without it, it is the
bundled one, run by `scopebook database`, since Debian 12 has no pgvector. The broker is Debian's
Redis or RabbitMQ.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url
from tests.services.brokers import BROKERS

from running import SCOPEBOOK, environment, free_port

#: Nothing is claimed of how fast a busy machine is.
PATIENCE_S = 1800.0


def until(claim: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait until a claim holds."""
    end = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end, f"it did not come true within {within_s:.0f} s"
        time.sleep(0.2)


def answers(port: int) -> bool:
    """Tell whether something listens on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


@dataclass
class Team:
    """The folder, the servers and the parts of one instance."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        """The folder that the parts share."""
        return self.folder / "data"

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a part, or a server by its own program, with its log beside the others."""
        argv = [*command] if command[0].startswith("/") else [*SCOPEBOOK, *command]
        with self.log_of(name).open("wb") as log:
            self.parts[name] = subprocess.Popen(
                argv,
                env=environment(self.data_dir, **self.variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        return self.parts[name]

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*SCOPEBOOK, *command],
            env=environment(self.data_dir, **{**self.variables, **more}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def log_of(self, name: str) -> Path:
        """Return where a part's stderr goes."""
        return self.folder / f"{name}.log"

    def said(self, name: str) -> str:
        """Return what a part has said on stderr."""
        return self.log_of(name).read_text(errors="replace")

    def stop(self, name: str) -> tuple[int, float, bytes]:
        """Send SIGTERM; return the exit code, the seconds it took and what came on stdout."""
        process = self.parts.pop(name)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
        return process.returncode, time.monotonic() - begun, out


@contextmanager
def team(folder: Path, broker: str) -> Iterator[Team]:
    """Yield an instance whose servers run; end all of it, the last started first."""
    made = Team(folder)
    server = BROKERS[broker](folder, host="127.0.0.1", start=subprocess.Popen)
    given = os.environ.get("TEST_DATABASE_URL")
    try:
        if given:
            _make_anew(given, f"scopebook-test-{broker}")
            own = make_url(given).set(database=f"scopebook-test-{broker}")
            made.variables["SCOPEBOOK_DATABASE_URL"] = own.render_as_string(hide_password=False)
        else:
            _database(made)
        server.start()
        address = folder / "broker-url"
        address.write_text(f"{server.url()}\n")
        made.variables["SCOPEBOOK_BROKER_URL_FILE"] = str(address)
        yield made
    finally:
        for name in reversed([*made.parts]):
            process = made.parts[name]
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        server.stop()


def _make_anew(given: str, name: str) -> None:
    """Make an empty database on a server, in the place of what an earlier run has left."""
    with psycopg.connect(given, autocommit=True) as connection:
        for order in ("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}"):
            connection.execute(sql.SQL(order).format(sql.Identifier(name)))


def _database(made: Team) -> None:
    port = free_port()
    made.start("database", "database", "--port", str(port))
    until(lambda: "PostgreSQL listens" in made.said("database") or _ended(made, "database"))
    made.variables["SCOPEBOOK_DATABASE_URL_FILE"] = str(made.data_dir / "database-url")


def _ended(made: Team, name: str) -> bool:
    assert made.parts[name].poll() is None, f"{name} ended:\n{made.said(name)}"
    return False
