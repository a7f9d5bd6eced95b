"""Run a text live, and look at what fires in it."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session

from scopebook import inferences
from scopebook.activations import unpack_activations
from scopebook.db.tables import Release
from scopebook.feature_names import row_ids_of
from scopebook.inference_requests import ask_inspection
from scopebook.inspecting import Look, Order, inspect
from scopebook_api.deps import DbSession, Me
from scopebook_api.inspect_schemas import (
    InspectionRead,
    InspectRequest,
    inspection_read,
)
from scopebook_api.schemas import problems
from scopebook_api.waiting import waiting_answer, waiting_responses

router = APIRouter(tags=["inspect"], responses=problems(404, 409, 429, 503))


def look(
    session: DbSession,
    sort: Annotated[Order, Query(description="Which features come first.")] = "activation",
    layer: Annotated[list[int] | None, Query(description="Null: all that were run.")] = None,
    everything: Annotated[
        bool,
        Query(description="Dense, position and register features too, and tokens left out."),
    ] = False,
    limit: Annotated[int, Query(ge=1, le=500, description="Features to return.")] = 50,
    per_token: Annotated[int, Query(ge=0, le=50, description="Features for each token.")] = 5,
    feature: Annotated[list[str] | None, Query(description="Only these features.")] = None,
) -> Look:
    """Return what of the activations is wanted."""
    only = list(row_ids_of(session, feature).values()) if feature else None
    return Look(
        order=sort,
        layers=layer,
        everything=everything,
        limit=limit,
        per_token=per_token,
        only=only,
    )


Looking = Annotated[Look, Depends(look, scope="function")]


@router.post("/inspect", responses=waiting_responses(InspectionRead))
def inspect_text(
    request: Request, session: DbSession, me: Me, wanted: InspectRequest, looking: Looking
) -> Response:
    """Run a text through a model and its SAEs, and return what fires where.

    Waits for the model. Whoever closes the connection cancels the request.
    """
    asked = ask_inspection(session, me, wanted.place(), wanted.prompt(), wanted.going_on())
    view = partial(_view, inference_id=asked, account_id=me.account_id, looking=looking)
    return waiting_answer(request, me, asked, view)


@router.get("/inspect/{inference_id}", response_model=InspectionRead)
def look_again(session: DbSession, me: Me, inference_id: int, looking: Looking) -> InspectionRead:
    """Look at a text of yours that was run within the hour another way."""
    return _view(session, inference_id, me.account_id, looking)


@router.delete("/inspect/{inference_id}", status_code=204)
def cancel(session: DbSession, me: Me, inference_id: int) -> None:
    """Cancel a request of yours; one that is over stays what it is."""
    inferences.cancel(session, inference_id, account_id=me.account_id, kind="inspect")


def _view(session: Session, inference_id: int, account_id: int, looking: Look) -> InspectionRead:
    packed = inferences.answer_of(session, inference_id, account_id=account_id, kind="inspect")
    release_id, _ = inferences.parameters_of(session, inference_id, account_id=account_id)
    seen = inspect(session, unpack_activations(packed), release_id, looking)
    release = session.get_one(Release, release_id).name
    return inspection_read(inference_id, release, seen)
