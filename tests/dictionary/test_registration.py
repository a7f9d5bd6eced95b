"""Models and releases are registered once, and never mixed up."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from scopebook.db.tables import Feature, Release, Sae, TokenPiece
from scopebook.errors import ConflictError
from scopebook.feature_page import read_feature
from scopebook.registration import (
    FeatureFacts,
    ModelFacts,
    ReleaseFacts,
    SaeFacts,
    register_model,
    register_release,
    registered_layers,
)
from scopebook.release_names import FeatureId

MODEL = ModelFacts(
    name="Tiny",
    path="/models/tiny",
    revision=None,
    layers=4,
    d_model=8,
    tokenizer_sha256="a" * 64,
    pieces=[b"a", "中".encode()],
)
RELEASE = ReleaseFacts(
    name="SAE-Res-Tiny-W1K-L0_2",
    set_name="res-w1k-l0_2",
    width=1024,
    k=2,
    source="/releases/tiny",
    revision=None,
    caution=None,
)


def sae(layer: int, sha256: str = "b" * 64) -> SaeFacts:
    feature = FeatureFacts(
        decoder_norm=1.5, promoted=[(1, 2.0)], suppressed=[(0, -2.0)], neighbours=[(1, 0.5)]
    )
    return SaeFacts(
        layer=layer, d_sae=3, k=2, sha256=sha256, artifact="/saes/x", features=[feature] * 3
    )


def test_a_release_brings_its_features_and_vocabulary(session: Session) -> None:
    register_release(session, RELEASE, register_model(session, MODEL), [sae(2)])

    found = read_feature(session, FeatureId("Tiny", 2, "res-w1k-l0_2", 1))
    assert found.decoder_norm == 1.5
    assert [(token.text, token.value) for token in found.promoted] == [("中", 2.0)]
    assert [near.index for near in found.neighbours] == [1]


def test_registering_again_adds_only_what_is_new(session: Session) -> None:
    register_release(session, RELEASE, register_model(session, MODEL), [sae(1)])

    register_release(session, RELEASE, register_model(session, MODEL), [sae(1), sae(2, "c" * 64)])

    assert registered_layers(session, RELEASE.name) == {1: "b" * 64, 2: "c" * 64}
    counts = [session.scalar(select(func.count()).select_from(t)) for t in (Release, Sae, Feature)]
    assert counts == [1, 2, 6]
    assert session.scalar(select(func.count()).select_from(TokenPiece)) == 2


def test_another_file_under_the_same_name_is_refused(session: Session) -> None:
    model = register_model(session, MODEL)
    register_release(session, RELEASE, model, [sae(1)])

    with pytest.raises(ConflictError, match="registered from another file"):
        register_release(session, RELEASE, model, [sae(1, "d" * 64)])


def test_another_model_under_the_same_name_is_refused(session: Session) -> None:
    register_model(session, MODEL)

    with pytest.raises(ConflictError, match="differs from it"):
        register_model(session, replace(MODEL, d_model=16))


def test_two_releases_cannot_share_feature_ids(session: Session) -> None:
    model = register_model(session, MODEL)
    register_release(session, RELEASE, model, [sae(1)])

    with pytest.raises(ConflictError, match="would have the same ids"):
        register_release(session, replace(RELEASE, name="Other"), model, [sae(1)])


def test_a_model_of_the_same_shape_with_other_weights_is_refused(session: Session) -> None:
    register_model(session, replace(MODEL, sha256="1" * 64))

    with pytest.raises(ConflictError, match="registered with other weights than those at"):
        register_model(session, replace(MODEL, sha256="2" * 64))


def test_a_model_registered_before_weights_were_told_apart_learns_its_hash(
    session: Session,
) -> None:
    register_model(session, MODEL)

    assert register_model(session, replace(MODEL, sha256="1" * 64)).sha256 == "1" * 64
    assert register_model(session, MODEL).sha256 == "1" * 64


def test_a_release_without_a_top_k_has_none(session: Session) -> None:
    facts = replace(RELEASE, k=None)
    layer = replace(sae(1), k=None, kind="threshold")

    release = register_release(session, facts, register_model(session, MODEL), [layer])

    held = session.scalars(select(Sae)).one()
    assert (release.k, held.k, held.kind) == (None, None, "threshold")


def test_layers_of_another_k_leave_the_release_without_one(session: Session) -> None:
    model = register_model(session, MODEL)
    register_release(session, RELEASE, model, [sae(1)])

    release = register_release(session, replace(RELEASE, k=3), model, [replace(sae(2), k=3)])

    assert release.k is None
    assert set(session.scalars(select(Sae.k))) == {2, 3}


def test_layers_of_another_width_or_model_do_not_join_a_release(session: Session) -> None:
    model = register_model(session, MODEL)
    other = register_model(session, replace(MODEL, name="Other"))
    register_release(session, RELEASE, model, [sae(1)])

    with pytest.raises(ConflictError, match="what is added now has 2048"):
        register_release(session, replace(RELEASE, width=2048), model, [sae(2)])
    with pytest.raises(ConflictError, match="or for another model than Other"):
        register_release(session, RELEASE, other, [sae(2)])


@pytest.mark.parametrize(("kind", "k"), [("topk", None), ("relu", 3), ("gated", None)])
def test_the_database_holds_no_rule_that_is_none(
    session: Session, kind: str, k: int | None
) -> None:
    register_release(session, RELEASE, register_model(session, MODEL), [sae(1)])

    with pytest.raises(IntegrityError):
        session.execute(update(Sae).values(kind=kind, k=k))
