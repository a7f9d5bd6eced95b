"""Texts that are run live, in Neuronpedia's shapes."""

from collections.abc import Callable, Sequence
from functools import partial

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from scopebook import inferences
from scopebook.accounts import Actor
from scopebook.activations import Activations, unpack_activations
from scopebook.errors import NotFoundError
from scopebook.feature_names import row_id_of
from scopebook.inference_requests import Place, Prompt, ask_texts
from scopebook.neuronpedia_names import NamedSae, NeuronpediaNames
from scopebook_api import neuronpedia_live as shapes
from scopebook_api.deps import DbSession, Me
from scopebook_api.neuronpedia_live_schemas import (
    NewActivation,
    NewActivationRequest,
    SearchAllAnswer,
    SearchAllAnswers,
    SearchAllRequest,
    TopKAnswer,
    TopKRequest,
)
from scopebook_api.neuronpedia_route import NeuronpediaRoute
from scopebook_api.neuronpedia_schemas import Shape
from scopebook_api.waiting import answer_at_its_end

router = APIRouter(tags=["neuronpedia"], route_class=NeuronpediaRoute)


@router.post("/search-all", response_model=SearchAllAnswer | SearchAllAnswers)
def search_all(request: Request, session: DbSession, me: Me, wanted: SearchAllRequest) -> Response:
    """Return the features that fire in a text, or in several."""
    saes = _saes_of_set(session, wanted)
    texts = wanted.text if isinstance(wanted.text, list) else [wanted.text]
    asked = _ask(session, me, saes, texts)
    return _answered(request, me, asked, partial(shapes.search_all, saes=saes, wanted=wanted))


@router.post("/search-topk-by-token", response_model=TopKAnswer)
def topk_by_token(request: Request, session: DbSession, me: Me, wanted: TopKRequest) -> Response:
    """Return each token's strongest features."""
    sae = NeuronpediaNames(session).sae(wanted.model_id, wanted.source)
    asked = _ask(session, me, [sae], [wanted.text])
    return _answered(request, me, asked, partial(shapes.topk_by_token, sae=sae, wanted=wanted))


@router.post("/activation/new", response_model=NewActivation)
def new_activation(
    request: Request, session: DbSession, me: Me, wanted: NewActivationRequest
) -> Response:
    """Return how strongly one feature fires on each token of a text."""
    named = wanted.feature
    names = NeuronpediaNames(session)
    row_id_of(session, names.feature(named.model_id, named.source, named.index))
    sae = names.sae(named.model_id, named.source)
    asked = _ask(session, me, [sae], [wanted.custom_text])
    return _answered(request, me, asked, partial(shapes.new_activation, sae=sae, wanted=wanted))


def _saes_of_set(session: Session, wanted: SearchAllRequest) -> list[NamedSae]:
    names = NeuronpediaNames(session)
    if wanted.selected_layers:
        return [
            names.sae(wanted.model_id, layer) for layer in dict.fromkeys(wanted.selected_layers)
        ]
    of_model = names.of_model(wanted.model_id)
    found = [sae for sae in of_model if sae.set_name == wanted.source_set]
    if not found:
        known = ", ".join(dict.fromkeys(sae.set_name for sae in of_model))
        raise NotFoundError(
            f"{wanted.model_id} has no source set {wanted.source_set!r} here; it has {known}."
        )
    return found


def _ask(session: Session, me: Actor, saes: Sequence[NamedSae], texts: Sequence[str]) -> int:
    place = Place(model=saes[0].release, layers=[sae.layer for sae in saes])
    return ask_texts(session, me, place, [Prompt(text=text) for text in texts])


#: Shapes what fires, which was found in a release, as an answer.
_Shape = Callable[[Session, Activations, int], Shape]


def _answered(request: Request, me: Actor, asked: int, shape: _Shape) -> Response:
    def view(session: Session) -> Shape:
        packed = inferences.answer_of(session, asked, account_id=me.account_id)
        release_id, _ = inferences.parameters_of(session, asked, account_id=me.account_id)
        return shape(session, unpack_activations(packed), release_id)

    return answer_at_its_end(request, me, asked, view)
