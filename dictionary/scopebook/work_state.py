"""How the work stands: what waits in each queue, who lives to take it, what is summed.

Read by a scrape (`GET /metrics`) and by `scopebook doctor`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, func, select, text
from sqlalchemy.orm import Session, aliased

from scopebook.db.inference_tables import Inference
from scopebook.db.jobs import Step
from scopebook.db.worker_tables import Meter
from scopebook.due_steps import lease_ran_out, open_stages
from scopebook.heartbeats import WorkerView, list_workers
from scopebook.inferences import TAKEN
from scopebook.jobs import LIVE, QUEUE_OF, QUEUES


@dataclass
class QueueState:
    """What stands in one queue."""

    #: Could be taken now.
    waiting: int = 0
    #: Waits for an earlier stage of its job.
    blocked: int = 0
    running: int = 0
    failed: int = 0
    #: Seconds since which the oldest of `waiting` could have been taken, at most.
    oldest_s: float = 0.0
    #: Pool processes that live and read from it.
    workers: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkState:
    """How the work of an instance stands at one moment."""

    queues: Mapping[str, QueueState]
    workers: Sequence[WorkerView]
    #: Name, labels and sum of all that workers have counted.
    meters: Sequence[tuple[str, Mapping[str, str], float]]
    #: Connections to this database, of whomever.
    connections: int
    most_connections: int


def read_work(session: Session) -> WorkState:
    """Return how the work stands."""
    queues = defaultdict(QueueState, {queue: QueueState() for queue in (*QUEUES, LIVE)})
    _count_steps(session, queues)
    _count_inferences(session, queues[LIVE])
    workers = list_workers(session)
    for worker in workers:
        if worker.alive and worker.consuming:
            for queue in worker.queues:
                queues[queue].workers += 1
    meters = session.execute(select(Meter.name, Meter.labels, Meter.value))
    connections, most = session.execute(_CONNECTIONS).one()
    return WorkState(
        queues=dict(queues),
        workers=workers,
        meters=[(row.name, row.labels, row.value) for row in meters],
        connections=connections,
        most_connections=most,
    )


_CONNECTIONS = text(
    "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
    " WHERE datname = current_database()"
)


def _count_steps(session: Session, queues: dict[str, QueueState]) -> None:
    # Each state by itself, as each has its index.
    for state in ("queued", "running", "failed"):
        counts = select(Step.kind, func.count()).where(Step.state == state).group_by(Step.kind)
        for kind, n in session.execute(counts):
            queue = queues[_queue_of(kind)]
            attribute = "blocked" if state == "queued" else state
            setattr(queue, attribute, getattr(queue, attribute) + n)
    for kind, n, lost, oldest_s in session.execute(_due_now()):
        queue = queues[_queue_of(kind)]
        queue.waiting += n
        queue.blocked -= n - lost
        queue.running -= lost
        queue.oldest_s = max(queue.oldest_s, oldest_s)


def _due_now() -> Any:
    """Return the kinds of steps that could be claimed now, as `scopebook.steps` has it.

    By job and not by step: a job's steps that could be claimed are those of the first stage that is
    not done, and looking for it once for each of ten thousand shards takes half a minute.
    """
    first = open_stages()
    earlier = aliased(Step)
    begun = (
        select(func.max(earlier.finished_at))
        .where(earlier.job_id == first.c.job_id, earlier.stage < first.c.stage)
        .scalar_subquery()
    )
    open_stage = select(first, begun.label("begun_at")).subquery()
    since = func.greatest(Step.created_at, Step.claimed_at, Step.lease_until, open_stage.c.begun_at)
    lost = lease_ran_out()
    return (
        select(Step.kind, func.count(), func.count().filter(lost), _seconds_since(func.min(since)))
        .join(
            open_stage,
            (open_stage.c.job_id == Step.job_id) & (open_stage.c.stage == Step.stage),
        )
        .where((Step.state == "queued") | lost)
        .group_by(Step.kind)
    )


def _queue_of(kind: str) -> str:
    # A kind of another release has no queue here, and nobody takes it.
    return QUEUE_OF.get(kind, "unknown")


def _count_inferences(session: Session, live: QueueState) -> None:
    counts = select(
        Inference.state, func.count(), _seconds_since(func.min(Inference.created_at))
    ).group_by(Inference.state)
    for state, n, oldest_s in session.execute(counts):
        if state == "queued":
            live.waiting, live.oldest_s = n, oldest_s
        elif state in TAKEN:
            live.running += n
        elif state == "failed":
            live.failed = n


def _seconds_since(moment: Any) -> Any:
    return func.greatest(func.extract("epoch", func.now() - moment), 0).cast(Float)
