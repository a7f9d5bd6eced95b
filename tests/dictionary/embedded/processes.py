"""Starting commands as root or as somebody else, and counting what runs for a data folder."""

import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

SMALL_UP = Path(__file__).with_name("small_programs.py")
#: Somebody who is neither root nor the user that root's database server runs as.
SOMEBODY = 1000
#: Processes older than the tests are none of theirs; reading them all takes its time.
_BEGUN = time.time() - 5


@functools.cache
def as_somebody() -> tuple[str, ...]:
    """Return what to put before a command to run it as a normal user; nothing if we are one."""
    if os.geteuid() != 0:
        return ()
    change = ("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")
    # Ours may be an interpreter in root's home; the user may then read everything, as root does,
    # and write no more than others.
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    nested = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', '']))"
    plain = subprocess.run([*change, sys.executable, "-c", nested], capture_output=True)
    return change if plain.returncode == 0 else (*change, *reading)


@contextmanager
def being_somebody() -> Iterator[None]:
    """Be a normal user for a while, in this very process, who sees no more than others."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(SOMEBODY, SOMEBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder that every user may write to, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="scopebook-tests-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    # An instance that served a command in the background ends after the command has.
    wait_for(lambda: processes_of(folder) == [], within_s=300)
    wait_for(lambda: _removed(folder))


def _removed(folder: Path) -> bool:
    """Remove a folder from which the last process may still take files as it ends."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    return not folder.exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(claim: Callable[[], object], *, within_s: float = 120.0) -> None:
    until = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.05)


def ended(process: psutil.Process) -> bool:
    """Tell whether a process has ended, even if nobody has asked for its exit code yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Return every process that works for a data folder: by its words, place or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.create_time() < _BEGUN:
                continue
            words = " ".join(process.cmdline())
            place = process.cwd()
            named = process.environ().get("SCOPEBOOK_DATA_DIR") == str(data_dir)
        except psutil.Error:
            continue
        ours = named or str(data_dir) in words or place.startswith(str(data_dir))
        if ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def owners_of(data_dir: Path) -> set[int]:
    """Return the users whose processes work for a data folder; some may end meanwhile."""
    found = set()
    for process in processes_of(data_dir):
        with suppress(psutil.NoSuchProcess):
            found.add(process.uids().effective)
    return found


class Up:
    """A `scopebook up` with small programs, in a process of its own."""

    def __init__(
        self, data_dir: Path, port: int, *, prefix: tuple[str, ...] = (), stubborn: bool = False
    ) -> None:
        self.data_dir, self.port = data_dir, port
        self.output = data_dir.with_name(data_dir.name + f".{port}.txt")
        env = {
            **os.environ,
            "SCOPEBOOK_DATA_DIR": str(data_dir),
            "SCOPEBOOK_PORT": str(port),
            "SMALL_PROGRAMS": "stubborn" if stubborn else "",
        }
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, str(SMALL_UP)],
                stdout=output,
                stderr=output,
                env=env,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> "Up":
        def ready() -> bool:
            assert self.process.poll() is None, self.said()
            return "is ready" in self.said()

        wait_for(ready, within_s=300)
        return self

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def part(self, words: str) -> psutil.Process:
        """Return the process of the instance whose command line holds `words`."""
        return next(
            process
            for process in psutil.Process(self.process.pid).children()
            if words in " ".join(process.cmdline())
        )

    def kill(self) -> None:
        """Kill the supervisor alone."""
        self.process.kill()
        self.process.wait()
