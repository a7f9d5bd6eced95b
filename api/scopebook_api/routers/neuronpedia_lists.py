"""Lists in Neuronpedia's shapes."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session

from scopebook import lists
from scopebook.accounts import Actor
from scopebook.lists import ItemView, ListView
from scopebook.neuronpedia_names import NeuronpediaNames
from scopebook_api import neuronpedia_shapes as shapes
from scopebook_api.deps import Annotator, DbSession, Me
from scopebook_api.neuronpedia_route import KeyedNeuronpediaRoute, NeuronpediaRoute
from scopebook_api.neuronpedia_schemas import (
    FeatureInListEdit,
    FeatureInListNamed,
    FeatureNamed,
    FeaturesForList,
    FullList,
    ListedFeature,
    ListEdit,
    ListNamed,
    NeuronInListRow,
    NeuronpediaDone,
    NeuronpediaList,
    NewList,
    NewListWithFeatures,
)

router = APIRouter(prefix="/list", tags=["neuronpedia"], route_class=KeyedNeuronpediaRoute)
reading = APIRouter(prefix="/list", tags=["neuronpedia"], route_class=NeuronpediaRoute)


@router.post("/new", response_model=NeuronpediaList)
def create(request: Request, session: DbSession, me: Annotator, wanted: NewList) -> NeuronpediaList:
    """Make a list of one's own."""
    made = lists.create_list(session, me, wanted.name, description=wanted.description or "")
    return shapes.list_read(request, made)


@router.post("/new-with-features", response_model=NeuronpediaList)
def create_with_features(
    request: Request, session: DbSession, me: Annotator, wanted: NewListWithFeatures
) -> NeuronpediaList:
    """Make a list of one's own with its features."""
    made = lists.create_list(session, me, wanted.name, description=wanted.description or "")
    _add(session, me, made.id, wanted.features)
    return shapes.list_read(request, made)


@router.post("/add-features", response_model=list[NeuronInListRow])
def add(session: DbSession, me: Annotator, wanted: FeaturesForList) -> list[NeuronInListRow]:
    """Put features at the end of a list; those that it has stay as they are."""
    names = _add(session, me, wanted.list_id, wanted.features_to_add)
    items = [lists.read_item(session, me, wanted.list_id, name) for name in names]
    return [shapes.feature_in_list(wanted.list_id, item) for item in items]


@reading.post("/get", response_model=FullList)
def read(request: Request, session: DbSession, me: Me, wanted: ListNamed) -> FullList:
    """Return a list with its features."""
    found = lists.read_list(session, me, wanted.list_id)
    return shapes.full_list(request, found, _all_items(session, me, found))


@reading.post("/list", response_model=list[NeuronpediaList])
def browse(request: Request, session: DbSession, me: Me) -> list[NeuronpediaList]:
    """Return one's own lists, the oldest first."""
    found: list[ListView] = []
    cursor: str | None = None
    while True:
        page, cursor = lists.list_lists(session, me, limit=200, cursor=cursor)
        found += [one for one in page if one.owner == me.name]
        if cursor is None:
            return [shapes.list_read(request, one) for one in reversed(found)]


@router.post("/remove", response_model=NeuronInListRow)
def remove(session: DbSession, me: Annotator, wanted: FeatureInListNamed) -> NeuronInListRow:
    """Take a feature out of a list."""
    name = _name(session, wanted)
    item = lists.read_item(session, me, wanted.list_id, name)
    lists.remove_feature(session, me, wanted.list_id, name)
    return shapes.feature_in_list(wanted.list_id, item)


@router.post("/edit-feature", response_model=NeuronInListRow)
def edit_feature(session: DbSession, me: Annotator, wanted: FeatureInListEdit) -> NeuronInListRow:
    """Say something else beside a feature of a list."""
    name = _name(session, wanted)
    lists.note_feature(session, me, wanted.list_id, name, wanted.description)
    return shapes.feature_in_list(
        wanted.list_id, lists.read_item(session, me, wanted.list_id, name)
    )


@router.post("/update", response_model=NeuronpediaList)
def update(
    request: Request, session: DbSession, me: Annotator, wanted: ListEdit
) -> NeuronpediaList:
    """Give a list another name and description."""
    before = lists.read_list(session, me, wanted.list_id)
    changes = {"name": wanted.name, "description": wanted.description or ""}
    found = lists.change_list(session, me, before.id, before.version, changes)
    return shapes.list_read(request, found)


@router.post("/delete", response_model=NeuronpediaDone)
def delete(session: DbSession, me: Annotator, wanted: ListNamed) -> NeuronpediaDone:
    """Remove a list; its features stay what they are."""
    lists.delete_list(session, me, wanted.list_id)
    return NeuronpediaDone(message="The list is deleted.")


def _add(session: Session, me: Actor, list_id: int, features: Sequence[ListedFeature]) -> list[str]:
    """Put features into a list; return their names here, each once."""
    names = NeuronpediaNames(session)
    notes: dict[str, str] = {}
    for one in features:
        name = str(names.feature(one.model_id, one.source, one.index))
        notes.setdefault(name, one.description or "")
    lists.add_features(session, me, list_id, list(notes), notes=notes)
    return list(notes)


def _name(session: Session, feature: FeatureNamed) -> str:
    names = NeuronpediaNames(session)
    return str(names.feature(feature.model_id, feature.source, feature.index))


def _all_items(session: Session, me: Actor, found: ListView) -> list[ItemView]:
    items: list[ItemView] = []
    cursor: str | None = None
    while True:
        page, cursor = lists.read_items(session, me, found.id, limit=200, cursor=cursor)
        items += page
        if cursor is None:
            return items
