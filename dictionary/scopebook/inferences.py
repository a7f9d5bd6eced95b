"""Requests to run a model now: asked, queued fairly, taken by a worker, answered, forgotten.

Like a step (`scopebook.steps`), a request is a row that a worker takes under a lease, and a notice
only says "look". Unlike a step it has somebody who waits: it has a deadline, it is cancelled when
they leave, a worker takes many at once, and it is gone within the hour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import exists, func, literal, or_, select, text, update
from sqlalchemy.orm import Session

from scopebook import notices
from scopebook.db.inference_tables import Inference
from scopebook.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from scopebook.feature_writes import tell
from scopebook.job_ends import INPUT_ERROR
from scopebook.jobs import INFER
from scopebook.quotas import place_of_inference
from scopebook.settings import settings

Kind = Literal["inspect", "compare", "steer"]
State = Literal["queued", "loading", "running", "done", "failed", "cancelled"]

_LARGEST_ID: Final = 2**63 - 1

UNFINISHED: Final = ("queued", "loading", "running")
TAKEN: Final = ("loading", "running")


@dataclass(frozen=True, kw_only=True)
class InferenceView:
    """How far a request is."""

    id: int
    kind: str
    state: State
    #: How many requests come before it; 0 once it is taken.
    ahead: int
    #: What the model has written by now: text and probability of each token; of a text that is
    #: steered for each variant.
    written: Sequence[Any]
    error: str | None
    error_kind: str | None
    created_at: datetime
    #: Nobody has taken anything lately, although there is something to take.
    abandoned: bool


def ask(
    session: Session,
    *,
    account_id: int,
    release_id: int,
    kind: Kind,
    parameters: Mapping[str, Any],
    deadline_s: float,
) -> int:
    """Queue a request and return its number; workers are told after the commit.

    Raises QuotaError where the account has `inference_waiting` of them already.
    """
    place_of_inference(session, account_id, UNFINISHED)
    asked = Inference(
        account_id=account_id,
        release_id=release_id,
        kind=kind,
        parameters=dict(parameters),
        deadline=seconds_from_now(deadline_s),
    )
    session.add(asked)
    session.flush()
    notices.request(session, INFER)
    return asked.id


def seconds_from_now(seconds: float) -> Any:
    """Return a moment by the clock of the database."""
    return func.now() + text("make_interval(secs => :s)").bindparams(s=seconds)


def turns_of(*states: str) -> Any:
    """Return the requests in these states, each with how many of its account come before it.

    Who asks for much waits behind who asks for little: everybody's first comes before anybody's
    second.
    """
    turn = func.row_number().over(partition_by=Inference.account_id, order_by=Inference.id)
    return (
        select(Inference.id, Inference.state, Inference.release_id, turn.label("turn"))
        .where(Inference.state.in_(states))
        .subquery()
    )


def read_inference(session: Session, inference_id: int, *, account_id: int) -> InferenceView:
    """Return how far a request of this account is."""
    row = _find(session, inference_id, account_id)
    return InferenceView(
        id=row.id,
        kind=row.kind,
        state=row.state,
        ahead=_ahead(session, row.id) if row.state == "queued" else 0,
        written=row.written,
        error=row.error,
        error_kind=row.error_kind,
        created_at=row.created_at,
        abandoned=row.state == "queued" and _abandoned(session, row.created_at),
    )


def _find(session: Session, inference_id: int, account_id: int) -> Any:
    known = 0 < inference_id <= _LARGEST_ID
    row = session.execute(
        select(
            Inference.id,
            Inference.kind,
            Inference.state,
            Inference.written,
            Inference.error,
            Inference.error_kind,
            Inference.created_at,
        ).where(Inference.id == (inference_id if known else 0), Inference.account_id == account_id)
    ).one_or_none()
    if row is None:
        raise _none_there(inference_id)
    return row


def _none_there(inference_id: int) -> NotFoundError:
    return NotFoundError(
        f"You have no request {inference_id} of this kind: requests to run a model are kept for "
        f"{settings().keep_inferences_minutes} minutes, and shown to who asked; ask again."
    )


def _ahead(session: Session, inference_id: int) -> int:
    turns = turns_of(*UNFINISHED)
    mine = select(turns.c.turn).where(turns.c.id == inference_id).scalar_subquery()
    before = or_(
        turns.c.state != "queued",
        turns.c.turn < mine,
        (turns.c.turn == mine) & (turns.c.id < inference_id),
    )
    found = session.scalar(select(func.count()).select_from(turns).where(before))
    return found or 0


def _abandoned(session: Session, since: datetime) -> bool:
    """Tell whether no worker has taken or held anything for as long as this has waited."""
    patience = func.now() - text("make_interval(secs => :s)").bindparams(
        s=settings().inference_patience_s
    )
    busy = exists().where(
        Inference.state.in_(TAKEN)
        | (Inference.started_at > literal(since))
        | (Inference.finished_at > patience)
    )
    waited = select(literal(since) < patience, busy)
    late, seen = session.execute(waited).one()
    return bool(late) and not seen


def answer_of(
    session: Session, inference_id: int, *, account_id: int, kind: Kind | None = None
) -> bytes:
    """Return the answer to a request of this account, and of this kind if one is named.

    Raises what went wrong, or ConflictError while it is not over.
    """
    state = read_inference(session, inference_id, account_id=account_id)
    if kind not in (None, state.kind):
        raise _none_there(inference_id)
    raise_failure(state)
    if state.state != "done":
        raise ConflictError(
            f"The request {inference_id} is {state.state}; wait for it, its answer is there soon."
        )
    packed = session.scalar(select(Inference.answer).where(Inference.id == inference_id))
    assert packed is not None  # written in the transaction that ended it
    return packed


def raise_failure(state: InferenceView) -> None:
    """Raise what went wrong with a request; nothing for one that is done or under way."""
    if state.state == "cancelled":
        raise ConflictError(f"The request {state.id} was cancelled; ask again.")
    if state.state == "failed":
        sentence = state.error or "The request failed; the worker's log says why."
        raise (InvalidInputError if state.error_kind == INPUT_ERROR else UnavailableError)(sentence)
    if state.abandoned:
        raise UnavailableError(
            f"No worker has taken the request for {settings().inference_patience_s:.0f} seconds; "
            "`scopebook doctor` tells what is missing, and the inference worker's log why."
        )


def parameters_of(
    session: Session, inference_id: int, *, account_id: int
) -> tuple[int, Mapping[str, Any]]:
    """Return the release and the parameters of a request of this account."""
    _find(session, inference_id, account_id)
    row = session.execute(
        select(Inference.release_id, Inference.parameters).where(Inference.id == inference_id)
    ).one()
    return row.release_id, row.parameters


def cancel(
    session: Session, inference_id: int, *, account_id: int, kind: Kind | None = None
) -> None:
    """End a request that nobody waits for any more; one that is over stays what it is."""
    found = _find(session, inference_id, account_id)
    if kind not in (None, found.kind):
        raise _none_there(inference_id)
    ended = session.scalars(
        update(Inference)
        .where(Inference.id == inference_id, Inference.state.in_(UNFINISHED))
        .values(state="cancelled", finished_at=func.now(), lease_until=None)
        .returning(Inference.id)
    ).all()
    tell_of(session, ended)


def tell_of(session: Session, ids: Sequence[int]) -> None:
    """Tell who waits for these requests to look, when this transaction commits."""
    for inference_id in ids:
        tell(session, {"inference": inference_id})
