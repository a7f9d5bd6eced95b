"""A dump holds no weights: what needs them says so, and adding the release brings them."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from dictionary.interchange.conftest import Instance
from dumps import RELEASE
from scopebook.db.tables import Feature, Model, Release, Sae, Tokenizer, TokenPiece
from scopebook.errors import InvalidInputError
from scopebook.interchange.parquet_in import import_parquet
from scopebook.registration import (
    ModelFacts,
    ReleaseFacts,
    SaeFacts,
    register_model,
    register_release,
)
from scopebook.runs import request_collection


def test_a_collection_of_imported_layers_asks_for_their_weights(
    dump: Path, instance: Instance
) -> None:
    target = instance()
    import_parquet(target, dump)

    with target() as session, pytest.raises(InvalidInputError, match=r"Layer 1,2 .* no weights"):
        request_collection(session, RELEASE, "tiny texts")


def test_adding_the_release_brings_the_weights_to_what_was_imported(
    dump: Path, instance: Instance, tmp_path: Path
) -> None:
    target = instance()
    import_parquet(target, dump)
    with target.begin() as session:
        model = session.scalars(select(Model)).one()
        tokenizer = session.get_one(Tokenizer, model.tokenizer_id)
        release = session.scalars(select(Release)).one()
        facts = ModelFacts(
            name=model.name,
            path=str(tmp_path),
            revision=None,
            layers=model.layers,
            d_model=model.d_model,
            tokenizer_sha256=tokenizer.sha256,
            pieces=session.scalars(select(TokenPiece.piece)).all(),
        )
        of_release = ReleaseFacts(
            **{
                name: getattr(release, name)
                for name in ("name", "set_name", "width", "k", "source", "revision", "caution")
            }
        )
        saes = [
            SaeFacts(
                layer=sae.layer,
                d_sae=sae.d_sae,
                k=sae.k,
                sha256=sae.sha256,
                artifact=f"/saes/{sae.layer}",
                features=[],
            )
            for sae in session.scalars(select(Sae))
        ]

        register_release(session, of_release, register_model(session, facts), saes)

    with target() as session:
        assert set(session.scalars(select(Sae.artifact))) == {"/saes/1", "/saes/2"}
        assert session.scalars(select(Tokenizer.path)).all() == [str(tmp_path)]
        assert session.scalars(select(Model.path)).all() == [str(tmp_path)]
        assert session.scalar(select(func.count()).select_from(Feature)) == 32
