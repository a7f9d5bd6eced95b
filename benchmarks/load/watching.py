"""What the parts of an instance use: processor time and memory, by the kernel's own counts."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

#: Parts of an instance, by what their command lines hold; the first that fits names it.
PARTS: Final = {
    "API": ("scopebook_api.serving",),
    "live worker": ("celery", "-Q live"),
    "other workers": ("celery",),
    "sweep": ("scopebook.cli", "sweep"),
    "broker": ("valkey",),
    "PostgreSQL": ("postgres",),
}
#: How PostgreSQL calls processes that it starts for one task.
_TASKS: Final = ("autovacuum worker", "parallel worker")
#: One that is younger may be that of a connection for one request, and has little in memory yet.
_YOUNG_S: Final = 60.0


def parts_of(instance: int) -> dict[str, list[psutil.Process]]:
    """Return the processes of each part; `instance` is `scopebook up`."""
    found: dict[str, list[psutil.Process]] = {part: [] for part in PARTS}
    for child in psutil.Process(instance).children():
        command = " ".join(child.cmdline())
        for part, words in PARTS.items():
            if all(word in command for word in words):
                found[part] += [child, *child.children(recursive=True)]
                break
    return found


def processor_seconds(instance: int) -> dict[str, float]:
    """Return the processor seconds of each part since it began."""
    return {part: sum(map(_seconds, all_of)) for part, all_of in parts_of(instance).items()}


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def busy_seconds() -> float:
    """Return the processor seconds of the whole machine, less what it idled."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def memory(instance: int) -> dict[str, float]:
    """Return the bytes of each part that may grow without end: each process's own memory.

    Pages of files have an end, and come as they are read: the query embedder's weights with each
    new word, PostgreSQL's shared buffers with each new page. Processes that come for one task or
    request and go cannot grow without end.
    """
    return {
        part: sum(_bytes(one, ("RssAnon",)) for one in all_of if not _goes_soon(one))
        for part, all_of in parts_of(instance).items()
    }


def _goes_soon(process: psutil.Process) -> bool:
    try:
        command, age_s = " ".join(process.cmdline()), time.time() - process.create_time()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return True
    return age_s < _YOUNG_S or any(word in command for word in _TASKS)


def proportional(instance: int) -> dict[str, float]:
    """Return the proportional set size of each part in bytes, shared buffers included."""
    return {
        part: sum(_bytes(one, ("Pss",), "smaps_rollup") for one in all_of)
        for part, all_of in parts_of(instance).items()
    }


def _bytes(process: psutil.Process, names: tuple[str, ...], file: str = "status") -> float:
    try:
        lines = Path(f"/proc/{process.pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(1024.0 * int(line.split()[1]) for line in lines if line.split(":")[0] in names)


@dataclass
class Memory:
    """Memory of the parts over time."""

    instance: int
    #: Seconds since the first sample.
    at: list[float] = field(default_factory=list)
    of: dict[str, list[float]] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)

    def sample(self) -> None:
        """Note what is used now."""
        self.at.append(time.monotonic() - self._begun)
        for part, used in memory(self.instance).items():
            self.of.setdefault(part, []).append(used)
