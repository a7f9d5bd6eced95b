"""A Valkey of our own as Celery's broker: on a Unix socket, in memory only."""

import os
import signal
import socket
import time
from pathlib import Path

from scopebook.embedded.binaries import valkey_server
from scopebook.embedded.children import Child, last_line
from scopebook.embedded.sockets import socket_folder
from scopebook.errors import InstanceError

_READY_S = 30.0


class EmbeddedValkey:
    """One Valkey server for one data folder. It forgets everything when it stops.

    Nothing is lost by that: a message says "look", and what there is to do stands in the database.
    """

    name = "broker"

    def __init__(self, home: Path) -> None:
        self._home = home
        self.log = home / "logs" / "valkey.log"
        self._sockets: Path | None = None
        self._server: Child | None = None

    def start(self) -> None:
        """Bring the server up and return when it answers."""
        self._home.mkdir(parents=True, exist_ok=True)
        if self._sockets is None or not self._sockets.is_dir():
            self._sockets = socket_folder(self._home, "valkey")
        self._server = Child(
            self.name,
            self._command(self._sockets),
            env=dict(os.environ),
            log=self.log,
            stop_signals=((signal.SIGTERM, 5.0),),
        )
        self._server.start()
        self._wait_until_ready(self._server)

    def stop(self) -> None:
        """End the server and remove its socket."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._sockets is not None:
            self._socket.unlink(missing_ok=True)
            self._sockets.rmdir()
            self._sockets = None

    def kill(self) -> None:
        """End the server at once."""
        if self._server is not None:
            self._server.kill()

    @property
    def pid(self) -> int | None:
        """The server's process id, while it runs."""
        return self._server.pid if self._server else None

    def alive(self) -> bool:
        """Tell whether the server runs."""
        return self.pid is not None

    def url(self) -> str:
        """Return the broker URL for Celery."""
        return f"redis+socket://{self._socket}?virtual_host=0"

    @property
    def _socket(self) -> Path:
        if self._sockets is None:
            raise InstanceError("The broker is not started, so that it has no address.")
        return self._sockets / "valkey.sock"

    def _command(self, sockets: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(sockets),
            "save": "",
            "appendonly": "no",
            # A full memory must refuse a message, never drop one that was taken.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        command = [str(valkey_server())]
        for name, setting in options.items():
            command += [f"--{name}", setting]
        return command

    def _wait_until_ready(self, server: Child) -> None:
        until = time.monotonic() + _READY_S
        while not answers(self._socket):
            if not server.alive() or time.monotonic() > until:
                raise InstanceError(
                    f"The broker did not start; {self.log} ends with: {last_line(self.log)}"
                )
            time.sleep(0.02)


def answers(path: Path) -> bool:
    """Tell whether a Valkey or Redis answers on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
