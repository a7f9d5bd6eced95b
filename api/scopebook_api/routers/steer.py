"""Steer live: let a model go on with a text unsteered and steered, side by side."""

import json
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from scopebook import inferences
from scopebook.db.tables import Release
from scopebook.steering import ask_steering
from scopebook_api.deps import DbSession, Me
from scopebook_api.neuronpedia_route import SharedRoute
from scopebook_api.neuronpedia_steer_schemas import NeuronpediaSteered, NeuronpediaSteerRequest
from scopebook_api.routers.neuronpedia_steer import steer_as_there
from scopebook_api.schemas import problems
from scopebook_api.steer_bodies import EitherSteerRequest
from scopebook_api.steer_schemas import SteeringRead, SteerProgressRead
from scopebook_api.waiting import EVENTS_TOO, waiting_answer, waiting_responses

_ANSWERS: Final = waiting_responses(SteeringRead | NeuronpediaSteered)[200] | EVENTS_TOO

router = APIRouter(tags=["steer"], responses=problems(404, 409, 429, 503), route_class=SharedRoute)


@router.post("/steer", responses={200: _ANSWERS})
def steer(request: Request, session: DbSession, me: Me, wanted: EitherSteerRequest) -> Response:
    """Let a model go on with a text unsteered and steered, and measure what that moved.

    Waits for the model. Whoever closes the connection cancels the request. A body with a `modelId`
    is one of Neuronpedia's, and is answered and refused in its shapes.
    """
    if isinstance(wanted, NeuronpediaSteerRequest):
        return steer_as_there(request, session, me, wanted)
    asked = ask_steering(session, me, wanted.wanted())
    view = partial(_view, inference_id=asked, account_id=me.account_id)
    return waiting_answer(request, me, asked, view, progress=SteerProgressRead)


@router.get("/steer/{inference_id}", response_model=SteeringRead)
def look_again(session: DbSession, me: Me, inference_id: int) -> SteeringRead:
    """Return what was written for a request of yours within the hour."""
    return _view(session, inference_id, me.account_id)


@router.delete("/steer/{inference_id}", status_code=204)
def cancel(session: DbSession, me: Me, inference_id: int) -> None:
    """Cancel a request of yours; one that is over stays what it is."""
    inferences.cancel(session, inference_id, account_id=me.account_id, kind="steer")


def _view(session: Session, inference_id: int, account_id: int) -> SteeringRead:
    packed = inferences.answer_of(session, inference_id, account_id=account_id, kind="steer")
    release_id, _ = inferences.parameters_of(session, inference_id, account_id=account_id)
    caution = session.get_one(Release, release_id).caution
    return SteeringRead(id=inference_id, caution=caution, **json.loads(packed))
