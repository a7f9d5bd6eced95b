"""A real instance in a process of its own, as a person starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

SCOPEBOOK = [sys.executable, "-m", "scopebook.cli"]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Return the environment of a command over one data folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SCOPEBOOK_")}
    return {**kept, "SCOPEBOOK_DATA_DIR": str(data_dir), "HF_HUB_OFFLINE": "1", **more}


def run(data_dir: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*SCOPEBOOK, *arguments],
        env=environment(data_dir, **more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@dataclass
class Running:
    """`scopebook up` over one data folder."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    #: One for all requests: a new one reads the certificates of all authorities first.
    _client: httpx2.Client = field(
        default_factory=lambda: httpx2.Client(
            timeout=60, limits=httpx2.Limits(max_keepalive_connections=0)
        ),
        repr=False,
    )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with its output beside the data."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*SCOPEBOOK, "up", "--port", str(self.port), *self.arguments],
                env=environment(self.data_dir, **self.variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def get(self, path: str) -> Any:
        """Return the JSON of a path, or None while nobody answers."""
        try:
            response = self._client.get(self.url + path)
        except httpx2.HTTPError:
            return None
        return response.json() if response.status_code == 200 else None

    def wait_for(self, path: str, told: Callable[[Any], bool], *, within_s: float) -> Any:
        """Return the first JSON of `path` that tells what is waited for."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            answer = self.get(path)
            if answer is not None and told(answer):
                return answer
            assert self.process is not None
            assert self.process.poll() is None, f"it ended early:\n{self.log()}"
            time.sleep(0.2)
        raise AssertionError(f"{path} did not tell within {within_s:.0f} s:\n{self.log()}")

    def log(self) -> str:
        """Return the end of its output."""
        return (self.data_dir / "up.log").read_text(errors="replace")[-4000:]

    def kill_everything(self) -> None:
        """End it and all it started with SIGKILL, as a power cut would."""
        assert self.process is not None
        whole = psutil.Process(self.process.pid)
        for process in [whole, *whole.children(recursive=True)]:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()

    def stop(self) -> int:
        """End it as a person would, and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(600)
