"""Hosts on one machine: network namespaces at a bridge, and a database that they reach by TCP."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

#: For documentation, and so seldom in anybody's network.
_NETWORK: Final = "198.51.100."
_BRIDGE: Final = "254"

#: Runs PostgreSQL at an address of the drill; the bundled one listens on its own host alone.
_DATABASE = """
import os, signal, sys, time
from pathlib import Path
from scopebook.embedded import sizing
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.postgres_home import find_home

home, address, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
chosen = sizing.postgres_settings
sizing.postgres_settings = lambda free: chosen(free) | {"listen_addresses": address}
server = EmbeddedPostgres(home, port=port)
server.start()
rules = find_home(home).pgdata / "pg_hba.conf"
rule = "host all all 198.51.100.0/24 scram-sha-256\\n"
if rule not in rules.read_text():
    rules.write_text(rules.read_text() + rule)
    os.kill(server.pid, signal.SIGHUP)
    time.sleep(1)
print(server.url(), flush=True)
print(server.tcp_url(address), flush=True)
signal.sigwait({signal.SIGTERM})
server.stop()
"""


class Network:
    """A bridge with hosts, each in a namespace of its own; needs root."""

    def __init__(self) -> None:
        self._mark = f"sb{os.getpid() % 100_000}"
        self._bridge = f"{self._mark}br"
        self._hosts: dict[str, int] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        if os.geteuid() != 0:
            pytest.fail("This drill makes networks, which only root may: run it by `sudo make ...`")

    def open(self) -> None:
        """Make the bridge; it has an address for the test itself."""
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.fail(
                "This drill needs network namespaces: `ip` of the package iproute2, and a kernel "
                f"or a container that lets root make them (CAP_NET_ADMIN, CAP_SYS_ADMIN): {error}"
            )
        _refuse_a_used_network()
        _ip("addr", "add", f"{_NETWORK}{_BRIDGE}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")

    def add(self, host: str) -> str:
        """Put a host at the bridge and return its address."""
        number = len(self._hosts) + 1
        self._hosts[host] = number
        space, outside, inside = self._space(host), self._cable(host), f"{self._mark}i{number}"
        _ip("netns", "add", space)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", space)
        _ip("-n", space, "addr", "add", f"{_NETWORK}{number}/24", "dev", inside)
        for device in (inside, "lo"):
            _ip("-n", space, "link", "set", device, "up")
        _ip("link", "set", outside, "up")
        self.mend(host)
        return f"{_NETWORK}{number}"

    def cut(self, host: str) -> None:
        """Take the host's cable out at the bridge: its packets vanish, and it is told nothing."""
        _ip("link", "set", self._cable(host), "nomaster")

    def mend(self, host: str) -> None:
        """Put the cable in."""
        _ip("link", "set", self._cable(host), "master", self._bridge)

    def start(self, host: str, argv: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a process on a host, which it takes for a machine of that name."""
        named = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh", *argv]
        process = subprocess.Popen(["ip", "netns", "exec", self._space(host), *named], **options)
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End all processes and remove all that was made."""
        for process in self._processes:
            kill_whole(process)
        for host in self._hosts:
            # What a dead process has not sent keeps its space, and the cable's name, for minutes.
            with suppress(subprocess.CalledProcessError):
                _ip("link", "del", self._cable(host))
            _ip("netns", "del", self._space(host))
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._bridge)

    def _space(self, host: str) -> str:
        return f"{self._mark}-{host}"

    def _cable(self, host: str) -> str:
        return f"{self._mark}o{self._hosts[host]}"


def _refuse_a_used_network() -> None:
    there = subprocess.run(["ip", "-4", "addr"], check=True, capture_output=True, text=True).stdout
    if f"inet {_NETWORK}" in there:
        pytest.fail(f"This machine has an address in {_NETWORK}0/24 already; the drill needs it.")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def kill_whole(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its children with SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()


class Database:
    """A PostgreSQL on a host, for its network; `url` is the test's own way to it, a socket."""

    def __init__(self, network: Network, host: str, address: str, home: Path, port: int) -> None:
        self._network, self._host, self._address = network, host, address
        self._home, self._port = home, port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self.tcp_url = ""

    def start(self) -> None:
        argv = [sys.executable, "-c", _DATABASE, str(self._home), self._address, str(self._port)]
        self._process = self._network.start(self._host, argv, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        self.tcp_url = self._process.stdout.readline().decode().strip()
        assert self.tcp_url, "the database ended"

    def stop(self) -> None:
        """Stop it, fast: whoever is connected is thrown out."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(120)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        time.sleep(0.5)
        self.start()
