"""Debian's Redis and RabbitMQ as plain processes: a port, a password and a folder of their own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from running import free_port

#: How a process is started: in this machine's network, or in a drill's.
Starts = Callable[..., "subprocess.Popen[bytes]"]
PASSWORD: Final = "geheim"
_READY_S: Final = 180.0
_INSTALL: Final = "run `make test-services`, which installs it on Debian"


class Broker(Protocol):
    """A broker that a test starts, kills and starts again at the same address."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def url(self) -> str: ...
    def log(self) -> str: ...


class _Server:
    """What both have in common: one process, whose output goes to a file."""

    def __init__(self, folder: Path, *, host: str, start: Starts) -> None:
        self.folder, self.host = folder, host
        self.port = free_port()
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None

    def _launch(self, argv: Sequence[str], env: dict[str, str], speaks: bytes) -> None:
        with (self.folder / "broker.log").open("ab") as log:
            self._process = self._start(
                argv,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _READY_S
        while not _answers(self.host, self.port, speaks):
            assert self._process.poll() is None, f"the broker ended:\n{self.log()}"
            assert time.monotonic() < until, f"the broker does not answer:\n{self.log()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
            self._process.wait(60)
        self._process = None

    def log(self) -> str:
        """Return the end of what it has said."""
        return (self.folder / "broker.log").read_text(errors="replace")[-4000:]


class Redis(_Server):
    """A Redis that keeps nothing."""

    def start(self) -> None:
        options = {"port": str(self.port), "bind": self.host, "requirepass": PASSWORD}
        options |= {"save": "", "appendonly": "no", "dir": str(self.folder)}
        argv = [program("redis-server")]
        for name, setting in options.items():
            argv += [f"--{name}", setting]
        # Without the password it says so: it answers.
        self._launch(argv, {}, b"PING\r\n")

    def url(self) -> str:
        return f"redis://:{PASSWORD}@{self.host}:{self.port}/0"


class Rabbit(_Server):
    """A RabbitMQ with a user and a virtual host of its own, and no part in any cluster."""

    def __init__(self, folder: Path, *, host: str, start: Starts, config: str = "") -> None:
        super().__init__(folder, host=host, start=start)
        self._names_port, self._cluster_port = free_port(), free_port()
        self._names: subprocess.Popen[bytes] | None = None
        self._config = config

    def start(self) -> None:
        home = self.folder / "rabbitmq"
        home.mkdir(exist_ok=True)
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.host}:{self.port}\n"
            f"default_user = scopebook\ndefault_pass = {PASSWORD}\n"
            "default_vhost = scopebook\nloopback_users = none\nlog.console = true\n"
            f"log.file = false\n"
        )
        (home / "advanced.config").write_text(f"[{{rabbit, [{self._config}]}}].\n")
        (home / "plugins").write_text("[].\n")
        names = {"ERL_EPMD_PORT": str(self._names_port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        if self._names is None:
            # Erlang would else leave one running behind it.
            argv, env = [program("epmd"), "-port", str(self._names_port)], {**os.environ, **names}
            self._names = self._start(argv, env=env, stdin=subprocess.DEVNULL)
        self._launch(
            [program("rabbitmq-server")], self._variables(home) | names, b"AMQP\0\0\x09\x01"
        )

    def _variables(self, home: Path) -> dict[str, str]:
        return {
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"scopebook-{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "logs"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
            "RABBITMQ_DIST_PORT": str(self._cluster_port),
        }

    def stop(self) -> None:
        super().stop()
        if self._names is not None:
            self._names.kill()
            self._names.wait()
            self._names = None

    def url(self) -> str:
        return f"amqp://scopebook:{PASSWORD}@{self.host}:{self.port}/scopebook"


BROKERS: Final[dict[str, type[Redis] | type[Rabbit]]] = {"redis": Redis, "rabbitmq": Rabbit}


def program(name: str) -> str:
    """Return the path of a server's program; a machine without it fails the test."""
    # Debian's own wrapper on the PATH changes the user first.
    unwrapped = Path("/usr/lib/rabbitmq/bin") / name
    found = str(unwrapped) if unwrapped.is_file() else shutil.which(name)
    assert found, f"{name} is not here: {_INSTALL}"
    return found


def _answers(host: str, port: int, speaks: bytes) -> bool:
    """Tell whether a server says something when it is spoken to."""
    try:
        with socket.create_connection((host, port), timeout=5) as connection:
            connection.sendall(speaks)
            return bool(connection.recv(1))
    except OSError:
        return False
