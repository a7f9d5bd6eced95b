"""A pool process's signs of life: a thread that writes to the database that it lives.

With each it hands over what was counted meanwhile (`scopebook.meters`). The process that reads
from the broker writes nothing, since its loop must not wait for a database: it notes in memory that
both share when it was last in touch, and the pool processes tell.
"""

import logging
import mmap
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import psutil

from scopebook import meters
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.heartbeats import BEAT_S, Beat, flush_meters, note_beat, note_end
from scopebook.log_fields import note_process
from scopebook_workers import process
from scopebook_workers.outages import AWAY

log = logging.getLogger(__name__)

#: Celery tells the broker of itself every two seconds.
_IN_TOUCH_S: Final = 15.0
#: When the worker was last in touch with its broker, by the clock that all processes here share.
_broker: Final = mmap.mmap(-1, 8)


class _Worker:
    """What holds for all pool processes of a worker; set before they are forked."""

    queues: tuple[str, ...] = ()
    stop: threading.Event | None = None
    thread: threading.Thread | None = None


class _Process:
    """What holds for this pool process."""

    model_id: int | None = None


def loaded_model() -> int | None:
    """Return the model that this process keeps loaded for those who wait."""
    return _Process.model_id


def note_model(model_id: int) -> None:
    """Tell at once which model this process loads, so that others leave it what asks for it."""
    if model_id != _Process.model_id:
        _Process.model_id = model_id
        beat_once()


def note_queues(names: Iterable[str]) -> None:
    """Keep which queues this worker reads from."""
    _Worker.queues = tuple(sorted(names))


def note_broker() -> None:
    """Note that the broker was reached now."""
    _broker[:] = struct.pack("d", time.monotonic())


def _consuming() -> bool:
    moment: float = struct.unpack("d", _broker[:])[0]
    return moment > 0 and time.monotonic() - moment < _IN_TOUCH_S


def start() -> None:
    """Begin to tell; in each pool process once."""
    note_process(worker=process.name())
    _Worker.stop = threading.Event()
    _Worker.thread = threading.Thread(
        target=_go_on, args=(_Worker.stop,), name="heartbeat", daemon=True
    )
    _Worker.thread.start()


def end() -> None:
    """Hand over what was counted, and forget this process, which ends in good order."""
    if _Worker.stop is None:
        return
    _Worker.stop.set()
    if _Worker.thread is not None:
        # A beat that is under way would bring the row back.
        _Worker.thread.join(timeout=BEAT_S)
    try:
        flush_meters(sessions())
        with unit_of_work(sessions()) as session:
            note_end(session, process.name())
    except AWAY as error:
        log.warning("The end of this process was not noted: %s", error)


def _go_on(stop: threading.Event) -> None:
    while not stop.is_set():
        beat_once()
        stop.wait(BEAT_S)


def beat_once() -> None:
    """Tell that this process lives, and what it has counted."""
    try:
        with unit_of_work(sessions()) as session:
            note_beat(session, _beat())
        flush_meters(sessions())
    except AWAY as error:
        log.warning("The database is away, and no heartbeat reached it: %s", error)
    except Exception:  # the edge of this thread: who is silent is taken for dead
        log.exception("A heartbeat failed")


def _beat() -> Beat:
    memory = psutil.Process().memory_info().rss
    return Beat(
        name=process.name(),
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=_Worker.queues,
        consuming=_consuming(),
        gauges={"resident_memory_bytes": float(memory), **meters.gauges()},
        gpus=gpu_memory(),
        model_id=_Process.model_id,
    )


def gpu_memory() -> list[dict[str, Any]]:
    """Return the memory of the GPUs that this process computes on; none before it has begun to."""
    # Never imported for this: it takes seconds, and most workers of a team have no GPU.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    begun = getattr(cuda, "is_initialized", None)
    if cuda is None or begun is None or not begun():
        return []
    names = process.gpus()
    found = []
    for index in range(cuda.device_count()):
        free, total = cuda.mem_get_info(index)
        found.append(
            {
                "gpu": names[index] if index < len(names) else str(index),
                "total": total,
                "free": free,
                "reserved": cuda.memory_reserved(index),
            }
        )
    return found
