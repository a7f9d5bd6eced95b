"""Child processes that end with us: start, look at, stop, and where their words go."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scopebook.embedded import launcher

_LAUNCHER = str(Path(launcher.__file__).resolve())
_LOG_LIMIT_BYTES = 10 * 2**20
_KILL_WAIT_S = 10.0


class User(NamedTuple):
    """Whom a child runs as; a process of root only."""

    uid: int
    gid: int


def open_log(path: Path) -> int:
    """Open a log for appending and return its descriptor; a big one becomes `<name>.1` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def last_line(log: Path) -> str:
    """Return the last line that says something, for a sentence about why a child died."""
    if not log.exists():
        return "the log is empty"
    lines = log.read_bytes()[-8192:].decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "the log is empty")


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    dies_with: signal.Signals,
    user: User | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command that gets the signal `dies_with` when the thread that calls this ends.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches only us and the order
    of the stop is ours.
    """
    command = [sys.executable, "-I", "-S", _LAUNCHER, "--parent", str(os.getpid())]
    command += ["--signal", str(int(dies_with))]
    if user is not None:
        command += ["--user", f"{user.uid}:{user.gid}"]
    output = open_log(log)
    try:
        return subprocess.Popen(
            [*command, "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd=cwd or "/",
            start_new_session=True,
        )
    finally:
        os.close(output)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a child and whatever it has started, without waiting for the end."""
    # macOS answers "not permitted" for a group of which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def stop_process(
    process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]
) -> None:
    """Send each signal in turn, wait its seconds for the end, and kill what is left."""
    for number, wait_s in signals:
        if process.poll() is not None:
            break
        process.send_signal(number)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
    kill_group(process)
    process.wait(_KILL_WAIT_S)


@dataclass
class Child:
    """One command of the instance, as a part that can be started, looked at and stopped."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    stop_signals: Sequence[tuple[signal.Signals, float]] = ((signal.SIGTERM, 5.0),)
    #: What it gets when we die: a crash of ours may cost a step, never leave a process.
    dies_with: signal.Signals = signal.SIGKILL
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the command without waiting for it."""
        self._process = spawn(self.argv, log=self.log, env=self.env, dies_with=self.dies_with)

    def alive(self) -> bool:
        """Tell whether it runs."""
        return self.pid is not None

    def stop(self) -> None:
        """End it by its own signals, then its whole process group."""
        if self._process is not None:
            stop_process(self._process, self.stop_signals)
        self._process = None

    def kill(self) -> None:
        """End it and all it has started at once; the signal only, safe in a signal handler."""
        if self._process is not None:
            kill_group(self._process)
