"""Labels in Neuronpedia's shapes: search, and a person's proposal."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session

from scopebook.errors import InvalidInputError
from scopebook.feature_names import row_id_of
from scopebook.feature_writes import open_write
from scopebook.interchange.neuronpedia_layout import TYPES
from scopebook.labels import labels_by_id
from scopebook.neuronpedia_names import NamedSae, NeuronpediaNames
from scopebook.reviews import propose_label
from scopebook.search import MOST_SEEN, EmbedQuery, search_features
from scopebook.search_filters import Filters
from scopebook_api import neuronpedia_shapes as shapes
from scopebook_api.deps import Annotator, DbSession, Embed
from scopebook_api.neuronpedia_route import KeyedNeuronpediaRoute, NeuronpediaRoute, page_url
from scopebook_api.neuronpedia_schemas import (
    ExplanationFound,
    ExplanationSearch,
    ExplanationSearchInLayers,
    ExplanationSearchInModel,
    ExplanationSearchInRelease,
    ExplanationsFound,
    NeuronpediaDoneAt,
    NewExplanationRequest,
)

router = APIRouter(prefix="/explanation", tags=["neuronpedia"], route_class=NeuronpediaRoute)
proposals = APIRouter(
    prefix="/explanation", tags=["neuronpedia"], route_class=KeyedNeuronpediaRoute
)
_PAGE: Final = 20


@router.post("/search", response_model=ExplanationsFound)
def search(
    session: DbSession, embed: Embed, wanted: ExplanationSearchInLayers
) -> ExplanationsFound:
    """Search labels in some layers of a model."""
    names = NeuronpediaNames(session)
    saes = [names.sae(wanted.model_id, layer) for layer in wanted.layers]
    return _search(session, embed, wanted, saes)


@router.post("/search-model", response_model=ExplanationsFound)
def search_model(
    session: DbSession, embed: Embed, wanted: ExplanationSearchInModel
) -> ExplanationsFound:
    """Search labels in a model."""
    saes = NeuronpediaNames(session).of_model(wanted.model_id)
    return _search(session, embed, wanted, saes)


@router.post("/search-release", response_model=ExplanationsFound)
def search_release(
    session: DbSession, embed: Embed, wanted: ExplanationSearchInRelease
) -> ExplanationsFound:
    """Search labels in a release."""
    saes = NeuronpediaNames(session).of_release(wanted.release_name)
    return _search(session, embed, wanted, saes)


@router.post("/search-all", response_model=ExplanationsFound)
def search_all(session: DbSession, embed: Embed, wanted: ExplanationSearch) -> ExplanationsFound:
    """Search all labels."""
    return _search(session, embed, wanted, None)


def _search(
    session: Session, embed: EmbedQuery, wanted: ExplanationSearch, saes: Sequence[NamedSae] | None
) -> ExplanationsFound:
    """Return the results behind the offset, each with the label that matched."""
    end = wanted.offset + _PAGE
    if end > MOST_SEEN:
        raise InvalidInputError(
            f"The offset is {wanted.offset:,}, and a search is paged through its best {MOST_SEEN} "
            "features; narrow the search, or list features by filters at /api/features."
        )
    filters = Filters(saes=None if saes is None else tuple(sae.id for sae in saes))
    answer = search_features(
        session, wanted.query, embed=embed, filters=filters, limit=end, preview=True
    )
    hits = answer.items[wanted.offset :]
    matched = labels_by_id(session, [hit.why.label_id for hit in hits if hit.why])
    results = [
        ExplanationFound(
            **shapes.named(hit),
            description=label.text,
            explanation_model_name=label.method if label.source == "llm" else None,
            type_name=TYPES[label.source],
            cosine_similarity=hit.similarity,
            neuron=shapes.short_neuron(hit),
        )
        for hit in hits
        # What was found by its number has no label that matched, and may have none at all.
        if (label := matched.get(hit.why.label_id) if hit.why else hit.label) is not None
    ]
    more = answer.next is not None and end + _PAGE <= MOST_SEEN
    return ExplanationsFound(
        request=wanted.model_dump(by_alias=True),
        results=results,
        results_count=len(results),
        has_more=more,
        next_offset=end if more else None,
    )


@proposals.post("/new", response_model=NeuronpediaDoneAt)
def propose(
    request: Request, session: DbSession, me: Annotator, wanted: NewExplanationRequest
) -> NeuronpediaDoneAt:
    """Propose a wording as a person; it is in force once another one accepts it."""
    said = wanted.feature
    feature = NeuronpediaNames(session).feature(said.model_id, said.source, said.index)
    write = open_write(session, me, row_id_of(session, feature), None)
    by = said.explanation_model
    reason = f"Worded by {by}, as it was sent." if by else None
    propose_label(session, write, said.explanation, reason=reason)
    return NeuronpediaDoneAt(
        message="The label is proposed.", url=page_url(request, f"features/{feature}")
    )
