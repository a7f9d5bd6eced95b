"""The index of vectors and their sketches find what a comparison of all finds."""

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from makers import make_embedding, make_label, make_release
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.label_tables import Label, LabelEmbedding, LabelSketch
from scopebook.db.tables import Sae
from scopebook.embedders import store_vectors
from scopebook.search_ways import QueryVector, Scope, by_meaning
from scopebook.vector_index import ensure_index, is_indexed, make_room

DIMENSION, FEATURES = 64, 150


@pytest.fixture
def saes(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[Sae]:
    """Two layers of labelled features, a model's from number 50 on; an index is worth it."""
    monkeypatch.setattr("scopebook.vector_index.WORTH_AN_INDEX", 5)
    monkeypatch.setattr("scopebook.search_ways.EXACT_UP_TO", 0)
    saes = make_release(session, layers=[1, 2], d_sae=FEATURES)
    for sae in saes:
        for index in range(FEATURES):
            source = "llm" if index >= 50 else "keywords"
            make_label(session, sae, index, f"label {sae.layer} {index}", source=source)
    return saes


def embed(session: Session) -> tuple[int, QueryVector]:
    """Give every label a vector about one of ten directions; return a query near the first."""
    rng = np.random.default_rng(5)
    directions = rng.normal(size=(10, DIMENSION))
    for label in session.scalars(select(Label).order_by(Label.id)).all():
        vector = directions[label.feature_id % 10] + 0.5 * rng.normal(size=DIMENSION)
        embedder_id = make_embedding(session, label, (vector / np.linalg.norm(vector)).tolist())
    query = directions[0] / np.linalg.norm(directions[0])
    return embedder_id, QueryVector(embedder_id, query.tolist())


def test_sketches_find_what_a_comparison_finds_inside_filters(
    session: Session, saes: list[Sae]
) -> None:
    embedder_id, query = embed(session)
    worded = (FeatureEntry.source == "llm",)
    scopes = [
        Scope([saes[1].id], (), about=FEATURES),
        Scope([sae.id for sae in saes], (), about=2 * FEATURES),
        Scope([saes[0].id], worded, about=100),
        Scope(None, worded, about=200),
        Scope([], (), about=0),
        Scope(None, (FeatureEntry.source == "person",), about=0),
    ]
    exact = [by_meaning(session, query, scope, 10) for scope in scopes]
    assert [len(found) for found in exact] == [10, 10, 10, 10, 0, 0]

    assert ensure_index(session, embedder_id)

    assert session.scalar(select(func.count()).select_from(LabelSketch)) == 2 * FEATURES
    assert [by_meaning(session, query, scope, 10) for scope in scopes] == exact


def test_sketches_find_labels_that_came_later_and_none_that_are_in_force_no_more(
    session: Session, saes: list[Sae]
) -> None:
    embedder_id, query = embed(session)
    ensure_index(session, embedder_id)
    scope = Scope([saes[0].id], (), about=FEATURES)
    first, second, *_ = by_meaning(session, query, scope, 10)
    old = session.get_one(Label, first)
    session.execute(Label.__table__.update().where(Label.id == first).values(current=False))
    new = make_label(session, saes[0], old.feature_id % 2**20, "what came later")

    stored = store_vectors(session, embedder_id, [saes[0].id], {new.text: query.vector})

    assert stored == 1
    assert by_meaning(session, query, scope, 10)[:2] == [new.id, second]
    session.execute(LabelEmbedding.__table__.delete().where(LabelEmbedding.label_id == new.id))
    assert by_meaning(session, query, scope, 10)[0] == second


def test_earlier_labels_do_not_take_the_room_of_those_in_force(
    session: Session, saes: list[Sae], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook.search_ways._ROUGHLY", 1)
    embedder_id, query = embed(session)
    scope = Scope([saes[0].id], (), about=FEATURES)
    nearest = by_meaning(session, query, scope, 10)
    session.execute(Label.__table__.update().where(Label.id.in_(nearest)).values(current=False))
    exact = by_meaning(session, query, scope, 10)

    assert ensure_index(session, embedder_id)

    assert by_meaning(session, query, scope, 10) == exact
    assert not set(exact) & set(nearest)


def test_an_index_is_built_where_it_is_worth_it_and_finds_the_same(
    session: Session, saes: list[Sae], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder_id, query = embed(session)
    exact = by_meaning(session, query, Scope(), 5)

    with monkeypatch.context() as patched:
        patched.setattr("scopebook.vector_index.WORTH_AN_INDEX", 10_000)
        assert not ensure_index(session, embedder_id)
    assert ensure_index(session, embedder_id)
    assert is_indexed(session, embedder_id)

    assert by_meaning(session, query, Scope(), 5) == exact
    # Too many for sketches to be compared: the index answers, and looks on until it has enough.
    narrow = Scope([saes[0].id], (FeatureEntry.source == "keywords",), about=1_000_000)
    found = by_meaning(session, query, narrow, 40)
    assert {
        key & 2**20 - 1
        for key in session.scalars(select(Label.feature_id).where(Label.id.in_(found)))
    } <= set(range(50))
    assert len(found) == 40
    make_room(session, embedder_id, coming=90)
    assert is_indexed(session, embedder_id)
    make_room(session, embedder_id, coming=900)
    assert not is_indexed(session, embedder_id)
