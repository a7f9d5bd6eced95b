"""The workers' side of requests to run a model (`scopebook.inferences`): take, renew, answer, tidy.

A worker takes many at once under a lease. What a dead one held is queued again, and what kills its
workers is given up.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import bindparam, case, delete, exists, func, select, text, update
from sqlalchemy.orm import Session

from scopebook import notices
from scopebook.db.arrays import among
from scopebook.db.inference_tables import Inference
from scopebook.db.tables import Release
from scopebook.errors import InvalidInputError, ScopebookError, UnavailableError
from scopebook.heartbeats import loaded_by_others
from scopebook.inferences import (
    TAKEN,
    UNFINISHED,
    seconds_from_now,
    tell_of,
    turns_of,
)
from scopebook.job_ends import INPUT_ERROR
from scopebook.jobs import INFER, LIVE
from scopebook.settings import settings

#: A request whose workers died so often takes them with it.
MOST_ATTEMPTS: Final = 3
#: Seconds for which a request is left to workers that have its model loaded.
PATIENCE_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as a worker takes it."""

    id: int
    model_id: int
    release_id: int
    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Taken:
    """What a worker has taken from the queue, and what it has left to others."""

    asked: list[Asked]
    #: Requests for models that other workers keep loaded.
    left: set[int]


def take(
    session: Session,
    *,
    worker: str,
    limit: int,
    model_id: int | None = None,
    loaded: int | None = None,
) -> Taken:
    """Take the next requests for one model under a lease, in the order of their turns.

    For `model_id`, or for that of the first in the queue. One for another model ends what is
    taken, so that it is next: those who come later do not keep the model loaded for ever.

    `loaded` is the model that this worker has in memory. What asks for one that another worker has
    is left to it for `PATIENCE_S` seconds, which is less than loading takes; then anybody takes it.
    """
    queue = _queue(session, limit)
    elsewhere = loaded_by_others(session, LIVE, name=worker) - {model_id, loaded}
    left = {row.id for row in queue if row.fresh and row.model_id in elsewhere}
    ours = [row for row in queue if row.id not in left]
    if not ours:
        return Taken([], left)
    wanted: int = model_id or ours[0].model_id
    order = [row.id for row in takewhile(lambda row: row.model_id == wanted, ours)]
    if not order:
        return Taken([], left)
    return Taken(_take(session, order, wanted, worker), left)


def _queue(session: Session, limit: int) -> Sequence[Any]:
    """Return the next requests in the order of their turns: `id`, `model_id`, and if it is new."""
    turns = turns_of(*UNFINISHED)
    fresh = Inference.created_at > seconds_from_now(-PATIENCE_S)
    return session.execute(
        select(turns.c.id, Release.model_id, fresh.label("fresh"))
        .join(Release, Release.id == turns.c.release_id)
        .join(Inference, Inference.id == turns.c.id)
        .where(turns.c.state == "queued")
        .order_by(turns.c.turn, turns.c.id)
        .limit(limit)
    ).all()


def _take(session: Session, order: Sequence[int], model_id: int, worker: str) -> list[Asked]:
    rows = session.execute(
        update(Inference)
        .where(Inference.id.in_(_free(order)))
        .values(
            state="loading",
            attempt=Inference.attempt + 1,
            worker=worker,
            lease_until=seconds_from_now(settings().inference_lease_s),
            started_at=func.now(),
            written=text("'[]'"),
        )
        .returning(Inference.id, Inference.release_id, Inference.kind, Inference.parameters)
    ).all()
    tell_of(session, [row.id for row in rows])
    place = {inference_id: number for number, inference_id in enumerate(order)}
    asked = sorted(rows, key=lambda row: place[row.id])
    return [Asked(**row._asdict(), model_id=model_id) for row in asked]


def _free(ids: Sequence[int]) -> Any:
    return (
        select(Inference.id)
        .where(among(Inference.id, ids), Inference.state == "queued")
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )


def still_wanted(session: Session, ids: Collection[int], *, worker: str) -> set[int]:
    """Renew the leases of a worker, and return which requests are still waited for."""
    return set(
        session.scalars(
            update(Inference)
            .where(
                among(Inference.id, ids),
                Inference.worker == worker,
                Inference.state.in_(TAKEN),
                Inference.deadline > func.now(),
            )
            .values(lease_until=seconds_from_now(settings().inference_lease_s))
            .returning(Inference.id)
        )
    )


def note_running(session: Session, ids: Collection[int], *, worker: str) -> None:
    """Note that the model of these requests is loaded, and that they are run."""
    tell_of(session, _change(session, ids, worker, state="running"))


def note_written(
    session: Session, inference_id: int, written: Sequence[Any], *, worker: str
) -> None:
    """Show what the model has written by now, as `InferenceView` tells it."""
    tell_of(session, _change(session, [inference_id], worker, written=written))


def note_answer(session: Session, inference_id: int, answer: bytes, *, worker: str) -> None:
    """Keep the answer; one that nobody waits for any more is dropped."""
    values = {"state": "done", "answer": answer, "finished_at": func.now(), "lease_until": None}
    tell_of(session, _change(session, [inference_id], worker, **values))


def note_failure(session: Session, inference_id: int, error: Exception, *, worker: str) -> None:
    """Keep why there is no answer, as a sentence for who asked."""
    values = {
        "state": "failed",
        "error": str(error),
        "error_kind": INPUT_ERROR if isinstance(error, InvalidInputError) else None,
        "finished_at": func.now(),
        "lease_until": None,
    }
    tell_of(session, _change(session, [inference_id], worker, **values))


def _change(session: Session, ids: Collection[int], worker: str, **values: Any) -> Sequence[int]:
    """Change requests that this worker holds; return which."""
    return session.scalars(
        update(Inference)
        .where(among(Inference.id, ids), Inference.worker == worker, Inference.state.in_(TAKEN))
        .values(**values)
        .returning(Inference.id)
    ).all()


def give_back(session: Session, ids: Collection[int], *, worker: str) -> None:
    """Queue requests again because their worker stops; the attempt does not count."""
    values = {"state": "queued", "attempt": Inference.attempt - 1, "lease_until": None}
    tell_of(session, _change(session, ids, worker, **values))
    notices.request(session, INFER)


_TOO_LATE: Final = (
    "The model has not answered in time; ask for less text, fewer layers or fewer tokens to write, "
    "or later."
)
_DEADLY: Final = (
    f"The worker died {MOST_ATTEMPTS} times while it ran this request; look into its log, then "
    "ask for less text or fewer layers."
)


def tidy_inferences(session: Session) -> bool:
    """End what is too late, queue what a dead worker held, forget what is old.

    Returns whether anything is queued.
    """
    gone = Inference.lease_until < func.now()
    late = Inference.deadline <= func.now()
    # One of a living worker ends by its own hand.
    ended = session.scalars(
        update(Inference)
        .where(
            (late & ((Inference.state == "queued") | (Inference.state.in_(TAKEN) & gone)))
            | (Inference.state.in_(TAKEN) & gone & (Inference.attempt >= MOST_ATTEMPTS))
        )
        .values(
            state="failed",
            error=case((late, _TOO_LATE), else_=_DEADLY),
            finished_at=func.now(),
            lease_until=None,
        )
        .returning(Inference.id)
    ).all()
    back = session.scalars(
        update(Inference)
        .where(Inference.state.in_(TAKEN), gone)
        .values(state="queued", lease_until=None)
        .returning(Inference.id)
    ).all()
    tell_of(session, [*ended, *back])
    minutes = settings().keep_inferences_minutes
    age = text("make_interval(mins => :mins)").bindparams(bindparam("mins", minutes))
    session.execute(delete(Inference).where(Inference.created_at < func.now() - age))
    return bool(session.scalar(select(exists().where(Inference.state == "queued"))))


def too_late() -> ScopebookError:
    """Return the error of a request that a worker drops at its deadline."""
    return UnavailableError(_TOO_LATE)
