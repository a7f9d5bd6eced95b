"""Steering in Neuronpedia's shapes; `POST /api/steer` of that shape comes here from ours."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from scopebook import inferences
from scopebook.accounts import Actor
from scopebook.steering import ask_steering
from scopebook_api import neuronpedia_steer as shapes
from scopebook_api.deps import DbSession, Me
from scopebook_api.neuronpedia_route import NeuronpediaRoute
from scopebook_api.neuronpedia_steer_schemas import (
    NeuronpediaSteerChatRequest,
    NeuronpediaSteeredChat,
)
from scopebook_api.waiting import EVENTS_TOO, answer_at_its_end, answer_in_frames

router = APIRouter(tags=["neuronpedia"], route_class=NeuronpediaRoute)


@router.post("/steer-chat", response_model=NeuronpediaSteeredChat, responses={200: EVENTS_TOO})
def steer_chat(
    request: Request, session: DbSession, me: Me, wanted: NeuronpediaSteerChatRequest
) -> Response:
    """Let a model go on with one chat unsteered and with another, or the same, steered.

    With `stream` server-sent events: each the whole answer as it is by then.
    """
    return steer_as_there(request, session, me, wanted)


def steer_as_there(request: Request, session: Session, me: Actor, wanted: shapes.Asked) -> Response:
    """Queue a request of theirs, and answer it in their shape once the model has."""
    asked = shapes.request_of(session, wanted)
    asked_id = ask_steering(session, me, asked)
    telling = shapes.Telling(wanted, asked_id, shapes.share_url(request, wanted, asked))

    def view(session: Session) -> shapes.Told:
        packed = inferences.answer_of(session, asked_id, account_id=me.account_id, kind="steer")
        found: dict[str, Any] = json.loads(packed)
        return telling.answer(found["variants"])

    if wanted.stream:
        return answer_in_frames(request, me, asked_id, view, telling.so_far)
    return answer_at_its_end(request, me, asked_id, view)
