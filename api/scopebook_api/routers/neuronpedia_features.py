"""Features in Neuronpedia's shapes."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import Field

from scopebook.discussion import comments_of
from scopebook.feature_names import row_id_of
from scopebook.feature_sheets import read_sheets
from scopebook.features import find_feature
from scopebook.lists import lists_with
from scopebook.neuronpedia_names import NeuronpediaNames
from scopebook_api import neuronpedia_shapes as shapes
from scopebook_api.deps import DbSession, Me
from scopebook_api.neuronpedia_route import NeuronpediaRoute
from scopebook_api.neuronpedia_schemas import (
    MOST_FEATURES,
    FeatureWanted,
    Index,
    Neuron,
    NeuronPage,
)

router = APIRouter(tags=["neuronpedia"], route_class=NeuronpediaRoute)


@router.get("/feature/{model_id:path}/{layer}/{index}", response_model=NeuronPage)
def feature(
    request: Request,
    session: DbSession,
    me: Me,
    model_id: str,
    layer: Annotated[str, Path(description="`{layer}-{set}`.")],
    index: Index,
) -> NeuronPage:
    """Return everything that is known of a feature."""
    feature_id = find_feature(session, NeuronpediaNames(session).feature(model_id, layer, index))
    [found] = read_sheets(session, [feature_id])
    return shapes.neuron_page(
        session,
        request,
        found,
        comments_of(session, feature_id),
        lists_with(session, me, feature_id),
    )


@router.post("/features", response_model=list[Neuron])
def features(
    session: DbSession,
    wanted: Annotated[list[FeatureWanted], Field(max_length=MOST_FEATURES)],
) -> list[Any]:
    """Return features in the order in which they are named; one that is missing is refused."""
    names = NeuronpediaNames(session)
    ids = [row_id_of(session, names.feature(one.model_id, one.source, one.index)) for one in wanted]
    most = {feature_id: one.max_acts_to_return for feature_id, one in zip(ids, wanted, strict=True)}
    return [shapes.neuron(sheet) for sheet in read_sheets(session, ids, most=most)]
