"""The life of a worker's pool process: its share of cores and GPUs, and when it has to end."""

import math
import mmap
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from billiard import current_process

from scopebook.db.sessions import sessions
from scopebook.settings import settings

_POLL_S = 1.0
#: One byte that the pool processes share with the worker that forked them.
_stopping = mmap.mmap(-1, 1)


def name() -> str:
    """Return what this process is called in steps, heartbeats and logs: `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def stop() -> None:
    """Tell the pool processes to end after, or instead of, the step they are at."""
    _stopping[0] = 1


def stopping() -> bool:
    """Return whether this worker shuts down."""
    return bool(_stopping[0])


def gpus() -> list[str]:
    """Return the GPUs this machine may use, found without importing torch."""
    if settings().device == "cpu":
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu]
    return [str(i) for i, _ in enumerate(sorted(Path("/dev").glob("nvidia[0-9]*")))]


def cores() -> int:
    """Return the cores this process may use; a container's limit is rounded up."""
    there = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(there, _limit_of_container() or there)


def _limit_of_container(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Return the cores that a container may keep busy: `QUOTA PERIOD`, or `max` for no limit."""
    try:
        quota, period = file.read_text().split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def pool_size() -> int:
    """Return how many pool processes the settings ask for."""
    return settings().workers or len(gpus()) or min(2, cores())


def prepare(processes: int) -> None:
    """Make a fresh pool process ready; call it before torch is imported."""
    # All of them hear that a terminal closes; when its pool ends is for the worker to say.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _end_with_parent()
    _share_cores(processes)
    _take_gpu()
    sessions.cache_clear()


def _share_cores(processes: int) -> None:
    """Set the threads of torch, BLAS and tokenizers, which read this when they are loaded."""
    threads = settings().torch_threads or max(1, cores() // processes)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def _take_gpu() -> None:
    """Give the processes of one pool a GPU each, in turn."""
    there = gpus()
    if len(there) > 1:
        index = getattr(current_process(), "index", 0)
        os.environ["CUDA_VISIBLE_DEVICES"] = there[index % len(there)]


def _end_with_parent() -> None:
    """On Linux Celery has asked the kernel for it; elsewhere a thread looks after the parent."""
    if sys.platform == "linux":
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            threading.Event().wait(_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
