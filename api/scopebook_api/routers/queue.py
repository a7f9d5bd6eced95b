"""The queue of reviews: what is next, and what one has in hand."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from scopebook.feature_names import row_ids_of
from scopebook.features import features_by_id
from scopebook.review_queue import QueueState, next_feature, queue_state, release_feature
from scopebook_api.deps import Annotator, DbSession
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.review_schemas import HandRequest, NextRead, QueueRead, QueueRequest

router = APIRouter(prefix="/queue", tags=["queue"], route_class=KeyedRoute)


@router.get("", response_model=QueueRead)
def state(
    session: DbSession,
    release: str | None = None,
    layer: Annotated[list[int] | None, Query(max_length=200)] = None,
) -> QueueState:
    """Tell how many features wait for a review, and how many are in whose hand."""
    return queue_state(session, release=release, layers=layer)


@router.post("/next", response_model=NextRead)
def take(session: DbSession, me: Annotator, wanted: QueueRequest) -> dict[str, object]:
    """Hand out the next most valuable feature, to nobody else for ten minutes.

    Who has one in hand gets the same again; a verdict or a proposal gives it out of hand.
    """
    lease = next_feature(session, me, **wanted.model_dump())
    if lease is None:
        return {"lease": None}
    [feature] = features_by_id(session, [lease.feature_id])
    return {"lease": {"feature": feature, "why": lease.why, "until": lease.until}}


@router.post("/release", status_code=204)
def give_back(session: DbSession, me: Annotator, wanted: HandRequest) -> Response:
    """Give a feature out of hand, for others or for later."""
    [feature_id] = row_ids_of(session, [wanted.feature]).values()
    release_feature(session, me, feature_id)
    return Response(status_code=204)


@router.post("/skip", status_code=204)
def skip(session: DbSession, me: Annotator, wanted: HandRequest) -> Response:
    """Give a feature out of hand, and do not be handed it again for a day."""
    [feature_id] = row_ids_of(session, [wanted.feature]).values()
    release_feature(session, me, feature_id, skip=True)
    return Response(status_code=204)
