"""What Prometheus is told: of this process at once, of the instance as the database has it."""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from scopebook.api_processes import METRICS_DIR
from scopebook.db.sessions import MOST_CONNECTIONS, Sessions, unit_of_work
from scopebook.heartbeats import WorkerView
from scopebook.work_state import WorkState, read_work

#: Several who scrape share one look at the database.
_FRESH_S: Final = 1.0
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# When a series began, beside each of them: twice as many series, which Prometheus leaves alone.
disable_created_metrics()  # type: ignore[no-untyped-call]
#: Of this process, or of all API processes together where they count in a folder.
PROCESS: Final = CollectorRegistry()
FOLDER: Final = os.environ.get(METRICS_DIR)
if FOLDER is None:
    ProcessCollector(registry=PROCESS)
    PlatformCollector(registry=PROCESS)

REQUESTS: Final = Counter(
    "scopebook_http_requests",
    "Requests that are over, by the template of their route.",
    ("route", "method", "status"),
    registry=PROCESS,
)
SECONDS: Final = Histogram(
    "scopebook_http_request_seconds",
    "How long requests took; without event streams, which stay open.",
    ("route", "method"),
    buckets=_BUCKETS,
    registry=PROCESS,
)
IN_PROGRESS: Final = Gauge(
    "scopebook_http_requests_in_progress",
    "Requests under way, event streams included.",
    registry=PROCESS,
    multiprocess_mode="livesum",
)
OPEN_STREAMS: Final = Gauge(
    "scopebook_event_streams_open",
    "Event streams that somebody reads.",
    registry=PROCESS,
    multiprocess_mode="livesum",
)
POOL: Final = Gauge(
    "scopebook_database_pool_connections",
    "Connections of the API to the database.",
    ("state",),
    registry=PROCESS,
    multiprocess_mode="livesum",
)
POOL_LIMIT: Final = Gauge(
    "scopebook_database_pool_limit",
    "The most connections of the API to the database.",
    registry=PROCESS,
    multiprocess_mode="livesum",
)
Gauge(
    "scopebook_info",
    "The version that answers.",
    ("version",),
    registry=PROCESS,
    multiprocess_mode="livemax",
).labels(version("scopebook")).set(1)

#: What workers count (`scopebook.meters`): the name of the sum, and what it is.
METERS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "tokens_read": ("Tokens that models have read, by the kind of work.", ("kind",)),
    "tokens_written": ("Tokens that models have written for who waits.", ("kind",)),
    "retention_removed": ("Scans and jobs that were removed as too old.", ("kind",)),
    "leases_lost": ("Steps taken over from workers whose lease ran out.", ("kind",)),
    "steps_ended": ("Attempts at steps that are over, by how they ended.", ("kind", "outcome")),
    "llm_requests": ("Requests to language models that word or judge.", ("outcome",)),
    "llm_tokens": ("Tokens of language models: read anew, from a cache, written.", ("kind",)),
    "llm_usd": ("US dollars for language models whose prices are known.", ()),
}


class Metrics:
    """The scrape of one app."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._lock = threading.Lock()
        self._read: tuple[float, WorkState | None] = (0.0, None)
        POOL_LIMIT.set(MOST_CONNECTIONS)

    def note_pool(self) -> None:
        """Note how many connections of this process are in use, for scrapes that others answer."""
        pool = self._sessions.kw["bind"].pool
        if isinstance(pool, QueuePool):
            POOL.labels("in use").set(pool.checkedout())
            POOL.labels("idle").set(pool.checkedin())

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        work = self._work()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Found(work_metrics(work)))
        self.note_pool()
        return generate_latest(of_all_processes()) + generate_latest(registry)

    def _work(self) -> WorkState | None:
        """Return how the work stands, or None while the database does not say it."""
        with self._lock:
            at, work = self._read
            if work is None or time.monotonic() - at > _FRESH_S:
                try:
                    with unit_of_work(self._sessions) as session:
                        work = read_work(session)
                except SQLAlchemyError:
                    work = None
                self._read = (time.monotonic(), work)
            return work


def of_all_processes() -> CollectorRegistry:
    """Return what the API's processes count, those that have ended meanwhile included."""
    if FOLDER is None:
        return PROCESS
    # What the ended ones held is not held any more.
    held = {int(file.stem.rpartition("_")[2]) for file in Path(FOLDER).glob("gauge_live*_*.db")}
    for pid in held:
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, FOLDER)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, FOLDER)  # type: ignore[no-untyped-call]
    return registry


class _Found(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = [*found]

    def collect(self) -> Iterable[Metric]:
        return self._found


def _gauge(name: str, says: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(f"scopebook_{name}", says, labels=labels)
    for key, value in values.items():
        family.add_metric(key if isinstance(key, tuple) else (key,), value)
    return family


def work_metrics(work: WorkState | None) -> Iterator[Metric]:
    """Tell how the work of the instance stands."""
    yield _gauge(
        "database_up", "Whether the database answered this scrape.", (), {(): work is not None}
    )
    if work is None:
        return
    yield from _queues(work)
    yield from _workers([worker for worker in work.workers if worker.alive])
    yield from _sums(work)
    yield _gauge("database_connections", "Connections to the database.", (), {(): work.connections})
    yield _gauge(
        "database_connections_limit",
        "The most connections that the database's server takes.",
        (),
        {(): work.most_connections},
    )


def _queues(work: WorkState) -> Iterator[Metric]:
    states = ("waiting", "blocked", "running", "failed")
    counts = {(q, s): getattr(at, s) for q, at in work.queues.items() for s in states}
    yield _gauge(
        "steps",
        "Steps of a queue: could be taken now, wait for an earlier stage, run, have failed.",
        ("queue", "state"),
        counts,
    )
    oldest = {q: at.oldest_s for q, at in work.queues.items()}
    yield _gauge(
        "oldest_waiting_seconds",
        "How long at most the oldest step that could be taken waits; 0 where none does.",
        ("queue",),
        oldest,
    )
    alive = {q: at.workers for q, at in work.queues.items()}
    yield _gauge("workers", "Worker processes that live and read from a queue.", ("queue",), alive)


def _workers(workers: Sequence[WorkerView]) -> Iterator[Metric]:
    """Tell the workers' own numbers by host: names of processes change all the time."""
    sums: dict[str, dict[str, float]] = {name: {} for name in WORKER_GAUGES}
    for worker in workers:
        for name, value in worker.gauges.items():
            if name in sums:
                of = sums[name]
                of[worker.host] = of.get(worker.host, 0) + value
    for name, says in WORKER_GAUGES.items():
        yield _gauge(f"worker_{name}", says, ("host",), sums[name])
    memory: dict[tuple[str, str, str], float] = {}
    for worker in workers:
        for gpu in worker.gpus:
            place = (worker.host, str(gpu["gpu"]))
            # All processes on a GPU see the same memory; each has reserved its own part.
            memory[(*place, "total")] = gpu["total"]
            memory[(*place, "used")] = gpu["total"] - gpu["free"]
            reserved = (*place, "reserved")
            memory[reserved] = memory.get(reserved, 0) + gpu["reserved"]
    yield _gauge(
        "gpu_memory_bytes",
        "Memory of GPUs that workers compute on: all, used by whomever, reserved by workers.",
        ("host", "gpu", "state"),
        memory,
    )


#: Numbers that workers tell of themselves.
WORKER_GAUGES: Final[Mapping[str, str]] = {
    "resident_memory_bytes": "Main memory of the worker processes of a host.",
    "inference_models": "Models that the inference workers of a host hold.",
    "inference_saes": "SAEs that the inference workers of a host hold.",
    "inference_sae_bytes": "Memory of the SAEs that the inference workers of a host hold.",
}


def _sums(work: WorkState) -> Iterator[Metric]:
    for name, (says, labels) in METERS.items():
        family = CounterMetricFamily(f"scopebook_{name}", says, labels=labels)
        for meter, values, total in work.meters:
            if meter == name:
                family.add_metric([values.get(label, "") for label in labels], total)
        yield family
