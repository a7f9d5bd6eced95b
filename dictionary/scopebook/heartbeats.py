"""The signs of life of workers: a row for each pool process, written anew every few seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook import meters
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.worker_tables import Meter, Worker

#: Between two heartbeats of a process.
BEAT_S: Final = 5.0
#: Without one for so long a process is taken for dead; importing torch holds it up for seconds.
ALIVE_S: Final = 30.0
#: Rows of the dead are kept for so long, to say when a worker was seen last.
_KEPT_S: Final = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a pool process tells of itself."""

    name: str
    host: str
    pid: int
    queues: Sequence[str]
    consuming: bool
    gauges: dict[str, float]
    #: `{"gpu", "total", "free", "reserved"}` each, in bytes.
    gpus: Sequence[dict[str, Any]]
    #: The model that it keeps loaded for those who wait.
    model_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class WorkerView:
    """A pool process as it was last seen."""

    name: str
    host: str
    queues: Sequence[str]
    consuming: bool
    alive: bool
    seen_at: datetime
    gauges: dict[str, float]
    gpus: Sequence[dict[str, Any]]


def note_beat(session: Session, beat: Beat) -> None:
    """Write that a process lives, and what it tells of itself."""
    values = {**vars(beat), "queues": list(beat.queues), "gpus": list(beat.gpus)}
    told = {name: value for name, value in values.items() if name != "name"}
    session.execute(
        insert(Worker)
        .values(**values)
        .on_conflict_do_update(
            index_elements=[Worker.name], set_={**told, "seen_at": func.clock_timestamp()}
        )
    )


def note_end(session: Session, name: str) -> None:
    """Forget a process that ends in good order."""
    session.execute(delete(Worker).where(Worker.name == name))


def forget_dead_workers(session: Session) -> None:
    """Forget processes that have not been seen for a day."""
    session.execute(delete(Worker).where(Worker.seen_at < func.now() - _seconds(_KEPT_S)))


def loaded_by_others(session: Session, queue: str, *, name: str) -> set[int]:
    """Return the models that other processes keep loaded, which live and read from a queue."""
    rows = session.scalars(
        select(Worker.model_id).where(
            Worker.model_id.is_not(None),
            literal(queue) == func.any(Worker.queues),
            Worker.consuming,
            Worker.seen_at > func.now() - _seconds(ALIVE_S),
            Worker.name != name,
        )
    )
    return {model_id for model_id in rows if model_id is not None}


def list_workers(session: Session) -> list[WorkerView]:
    """Return all processes that were seen within a day, by name."""
    alive = (Worker.seen_at > func.now() - _seconds(ALIVE_S)).label("alive")
    rows = session.execute(
        select(
            Worker.name,
            Worker.host,
            Worker.queues,
            Worker.consuming,
            alive,
            Worker.seen_at,
            Worker.gauges,
            Worker.gpus,
        ).order_by(Worker.name)
    )
    return [WorkerView(**row._asdict()) for row in rows]


def flush_meters(factory: Sessions) -> None:
    """Add what this process has counted to the sums; what cannot be written is kept."""
    taken = meters.take()
    if not taken:
        return
    try:
        with unit_of_work(factory) as session:
            add_sums(session, taken)
    except BaseException:
        meters.give_back(taken)
        raise


def add_sums(session: Session, taken: Mapping[meters.Key, float]) -> None:
    # In one order, so that workers that write at once wait for each other, and not in a ring.
    rows: list[dict[str, Any]] = [
        {"name": name, "labels": dict(labels), "value": float(value)}
        for (name, labels), value in sorted(taken.items())
    ]
    statement = insert(Meter)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Meter.name, Meter.labels],
            set_={"value": Meter.value + statement.excluded.value},
        ),
        rows,
    )


def _seconds(seconds: float) -> Any:
    return text("make_interval(secs => :s)").bindparams(s=seconds)
