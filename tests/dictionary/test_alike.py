"""Features that are labelled nearly the same, by vectors of two dimensions."""

from collections.abc import Sequence

import numpy as np
import pytest
from sqlalchemy.orm import Session
from tests.makers import (
    feature_id,
    make_corpus,
    make_embedding,
    make_label,
    make_labeling,
    make_model,
    make_release,
    make_run,
)

from scopebook.alike import Alike, labelled_alike
from scopebook.db.label_tables import Embedder, Label, Sense
from scopebook.db.tables import Sae
from scopebook.embedders import current_embedder, embedder_name
from scopebook.errors import NotFoundError
from scopebook.release_names import FeatureId
from scopebook.settings import settings
from scopebook.vector_index import ensure_index


@pytest.fixture
def saes(session: Session) -> Sequence[Sae]:
    """Two layers of a release, whose labels the settings' embedder gives vectors."""
    session.add(
        Embedder(name=embedder_name(settings()), sha256="e" * 64, dimension=2, artifact="somewhere")
    )
    return make_release(session)


def said(session: Session, sae: Sae, index: int, text: str, cosine: float, **more: object) -> Label:
    """Add a label whose vector has this cosine with (1, 0)."""
    label = make_label(session, sae, index, text, **more)  # type: ignore[arg-type]
    make_embedding(session, label, [cosine, float(np.sqrt(1 - cosine**2))])
    return label


def alike(session: Session, index: int = 3, limit: int = 10) -> tuple[list[Alike], int]:
    wanted = FeatureId("Tiny-Model", 1, "res-w1k-l0_8", index)
    return labelled_alike(session, wanted, limit=limit)


def test_features_of_any_layer_are_alike_from_a_cosine_of_nine_tenths_the_nearest_first(
    session: Session, saes: Sequence[Sae]
) -> None:
    first, second = saes
    said(session, first, 3, "rivers", 1.0)
    said(session, first, 4, "names of rivers", 0.91)
    said(session, first, 5, "kings", 0.89)
    said(session, second, 3, "rivers", 1.0)

    found, total = alike(session)

    assert [(one.id, one.label.text) for one in found] == [
        ("Tiny-Model/2-res-w1k-l0_8/3", "rivers"),
        ("Tiny-Model/1-res-w1k-l0_8/4", "names of rivers"),
    ]
    assert [one.cosine for one in found] == pytest.approx([1.0, 0.91], abs=1e-3)
    assert total == 2


def test_directions_are_told_where_they_are_near_in_the_same_layer(
    session: Session, saes: Sequence[Sae]
) -> None:
    for index in (3, 4, 5):
        said(session, saes[0], index, "rivers", 1.0)
    said(session, saes[1], 4, "rivers", 1.0)

    found, _ = alike(session)

    # The maker puts each feature next to the following one.
    assert {(one.layer, one.index): one.direction for one in found} == {
        (1, 4): pytest.approx(0.9),
        (1, 5): None,
        (2, 4): None,
    }


def test_the_nearest_of_the_labels_of_senses_counts_and_a_feature_stands_there_once(
    session: Session, saes: Sequence[Sae]
) -> None:
    first, _ = saes
    labeling = make_labeling(
        session, first, make_run(session, [first], make_corpus(session, ["text"])).id
    )
    senses = [
        Sense(
            feature_id=feature_id(first, index),
            labeling_id=labeling.id,
            ordinal=ordinal,
            share=0.5,
            keywords=[],
            members=[],
        )
        for index in (3, 4)
        for ordinal in (0, 1)
    ]
    session.add_all(senses)
    session.flush()
    said(session, first, 3, "kings / rivers", 0.2)
    said(session, first, 3, "rivers", 1.0, sense_id=senses[1].id)
    said(session, first, 4, "streams", 0.93, sense_id=senses[2].id)
    said(session, first, 4, "rivers, lakes", 0.95, sense_id=senses[3].id)

    [found], total = alike(session)

    assert (found.own.text, found.label.text, total) == ("rivers", "rivers, lakes", 1)


def test_labels_not_in_force_and_other_releases_are_left_out(
    session: Session, saes: Sequence[Sae]
) -> None:
    said(session, saes[0], 3, "rivers", 1.0)
    said(session, saes[0], 4, "rivers", 1.0, current=False)
    [other] = make_release(
        session, "Other-Release", model=make_model(session, "Other"), layers=[1], set_name="o"
    )
    said(session, other, 4, "rivers", 1.0)

    assert alike(session) == ([], 0)


def test_words_that_the_embedder_does_not_know_are_not_alike_for_that(
    session: Session, saes: Sequence[Sae]
) -> None:
    first, _ = saes
    said(session, first, 3, "Chinese text: 为, 使用, 命令, 环境", 1.0)
    said(session, first, 4, "Chinese text: 应, 响应, 构建, 系统", 1.0)
    said(session, first, 5, "Chinese text: 为, 使用, 命令, 变量", 1.0)

    found, total = alike(session)

    assert ([one.index for one in found], total) == ([5], 1)


def test_those_beyond_the_limit_are_counted(session: Session, saes: Sequence[Sae]) -> None:
    for index in range(3, 10):
        said(session, saes[0], index, "rivers", 1.0)

    found, total = alike(session, limit=2)

    assert [one.index for one in found] == [4, 5]
    assert total == 6


def test_without_vectors_there_are_none_and_an_unknown_feature_is_named(session: Session) -> None:
    saes = make_release(session)
    make_label(session, saes[0], 3, "rivers")

    assert alike(session) == ([], 0)
    with pytest.raises(NotFoundError, match="has 16 features"):
        alike(session, index=16)


def test_an_index_of_vectors_finds_the_same_features(
    session: Session, saes: Sequence[Sae], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = saes
    for index in range(12):
        said(session, first, index, "rivers", 1 - index / 100)
        said(session, second, index, "rivers", 1 - index / 100)
    compared = alike(session)
    monkeypatch.setattr("scopebook.vector_index.WORTH_AN_INDEX", 1)
    embedder = current_embedder(session, settings())
    assert embedder is not None
    assert ensure_index(session, embedder.id)

    assert alike(session) == compared
