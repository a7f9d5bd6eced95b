"""Run two texts, or two sets of texts, live, and look at what differs."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session

from scopebook import inferences
from scopebook.activations import unpack_activations
from scopebook.comparing import Contrast, Measure, Shared, Side, compare
from scopebook.db.tables import Release
from scopebook.inference_requests import ask_comparison
from scopebook_api.compare_schemas import CompareRequest, ComparisonRead, comparison_read
from scopebook_api.deps import DbSession, Me
from scopebook_api.schemas import problems
from scopebook_api.waiting import waiting_answer, waiting_responses

router = APIRouter(tags=["compare"], responses=problems(404, 409, 429, 503))


async def contrast(
    sort: Annotated[Measure, Query(description="By what the features are put in order.")] = (
        "effect"
    ),
    layer: Annotated[list[int] | None, Query(description="Null: all that were run.")] = None,
    everything: Annotated[
        bool,
        Query(description="Dense, position and register features too, and tokens left out."),
    ] = False,
    leave_out: Annotated[
        list[Shared] | None,
        Query(description="What both sides share: how all texts begin, tokens of both."),
    ] = None,
    more_in: Annotated[Side | None, Query(description="Only what is more on this side.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="Features to return.")] = 50,
    text_a: Annotated[int, Query(ge=0, description="The text of a that is shown.")] = 0,
    text_b: Annotated[int, Query(ge=0, description="The text of b that is shown.")] = 0,
) -> Contrast:
    """Return what of the comparison is wanted."""
    return Contrast(
        order=sort,
        layers=layer,
        everything=everything,
        leave_out=tuple(leave_out or ()),
        more_in=more_in,
        limit=limit,
        text_a=text_a,
        text_b=text_b,
    )


Wanted = Annotated[Contrast, Depends(contrast)]


@router.post("/compare", responses=waiting_responses(ComparisonRead))
def compare_texts(
    request: Request, session: DbSession, me: Me, asked: CompareRequest, wanted: Wanted
) -> Response:
    """Run two texts, or two sets of texts, and return in which features they differ.

    Waits for the model. Whoever closes the connection cancels the request.
    """
    a, b = ([prompt.prompt() for prompt in side] for side in (asked.a, asked.b))
    inference_id = ask_comparison(session, me, asked.place(), a, b)
    view = partial(_view, inference_id=inference_id, account_id=me.account_id, wanted=wanted)
    return waiting_answer(request, me, inference_id, view)


@router.get("/compare/{inference_id}", response_model=ComparisonRead)
def look_again(session: DbSession, me: Me, inference_id: int, wanted: Wanted) -> ComparisonRead:
    """Look at texts of yours that were compared within the hour another way."""
    return _view(session, inference_id, me.account_id, wanted)


@router.delete("/compare/{inference_id}", status_code=204)
def cancel(session: DbSession, me: Me, inference_id: int) -> None:
    """Cancel a request of yours; one that is over stays what it is."""
    inferences.cancel(session, inference_id, account_id=me.account_id, kind="compare")


def _view(session: Session, inference_id: int, account_id: int, wanted: Contrast) -> ComparisonRead:
    packed = inferences.answer_of(session, inference_id, account_id=account_id, kind="compare")
    release_id, parameters = inferences.parameters_of(session, inference_id, account_id=account_id)
    seen = compare(session, unpack_activations(packed), release_id, parameters["n_a"], wanted)
    release = session.get_one(Release, release_id).name
    return comparison_read(inference_id, release, seen)
