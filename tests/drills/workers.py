"""Workers in processes of their own: one that does as it is told, and Celery's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scopebook.jobs import COLLECT_SHARD, QUEUES
from scopebook.settings import settings

#: Reports when it is inside a shard, and pauses there, so that a drill can hit the middle of it.
_PROGRAM = """
import logging, resource, sys, time
from scopebook_workers import claims

logging.basicConfig(level=logging.INFO)
kind, pause, largest_file = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
report = claims.Progress.__call__

def pause_and_report(progress, done, total, unit):
    print("inside", flush=True)
    time.sleep(pause)
    report(progress, done, total, unit)

claims.Progress.__call__ = pause_and_report
if largest_file:
    # Python takes a short write for a whole one: half a .pyc would stay for all who come later.
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
while True:
    claims.work_off(kind)
    time.sleep(0.1)
"""


#: Nothing is claimed of how fast things come true: a machine may be busy with much else.
PATIENCE_S = 600.0


def until(claim: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait until the claim holds."""
    end = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < end, f"it did not come true within {within_s:.0f} s"
        time.sleep(0.05)


def _variables(more: dict[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "SCOPEBOOK_DATABASE_URL": settings().database_url or "",
        "SCOPEBOOK_BROKER_URL": settings().broker_url or "",
        "SCOPEBOOK_DATA_DIR": str(settings().data_dir),
        "SCOPEBOOK_LLM_TIMEOUT_S": str(settings().llm_timeout_s),
        "SCOPEBOOK_INFERENCE_LEASE_S": str(settings().inference_lease_s),
        "SCOPEBOOK_TORCH_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        **more,
    }


class LoneWorker:
    """One process that does the steps of one kind as long as it lives."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        *,
        kind: str = COLLECT_SHARD,
        lease_s: float = 60.0,
        pause_s: float = 0.0,
        largest_file: int = 0,
    ) -> None:
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, kind, str(pause_s), str(largest_file)],
                env=_variables({"SCOPEBOOK_LEASE_S": str(lease_s)}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def reports(self) -> int:
        """Return how often it reported from inside a step."""
        assert self.alive(), self.log.read_text()[-3000:]
        return self.log.read_bytes().count(b"inside\n")

    def wait_inside(self, *, after: int = 0) -> None:
        """Wait until it is inside a step, having reported more than `after` times."""
        until(lambda: self.reports() > after)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class CeleryWorker:
    """One of Celery's workers, with its pool processes."""

    def __init__(self, log: Path, *, processes: int, queues: Sequence[str] = QUEUES) -> None:
        self._log = log
        argv = ["-A", "scopebook_workers.app:app", "worker", "-Q", ",".join(queues)]
        argv += ["--without-mingle", "--without-gossip", "-l", "INFO", "-n", f"{log.stem}@%h"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "celery", *argv],
                env=_variables({"SCOPEBOOK_WORKERS": str(processes)}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> bool:
        """Tell whether it takes notices."""
        return b" ready." in self._log.read_bytes()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
