import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.tables import (
    Corpus,
    Document,
    Evidence,
    Feature,
    Model,
    Release,
    Run,
    Sae,
    Tokenisation,
    Tokenizer,
)
from scopebook.packing import pack_pairs
from scopebook.steps import create_job


def make_corpus(session: Session) -> int:
    corpus = Corpus(name="notes", source="notes.txt")
    session.add(corpus)
    session.flush()
    return corpus.id


def test_rows_keep_text_bytes_and_nothing(session: Session) -> None:
    corpus_id = make_corpus(session)
    rows = [
        (corpus_id, 0, "first", b"\x00\xff" * 16, "tab\tand \\N, 中文 🎉\n", None),
        (corpus_id, 1, "second", bytes(32), "", "de"),
    ]

    written = copy_rows(
        session, Document, ["corpus_id", "ordinal", "name", "sha256", "text", "language"], rows
    )

    found = session.execute(
        select(
            Document.corpus_id,
            Document.ordinal,
            Document.name,
            Document.sha256,
            Document.text,
            Document.language,
        ).order_by(Document.id)
    ).all()
    assert written == 2
    assert [tuple(row) for row in found] == rows


def test_arrays_and_json_arrive_as_they_are(session: Session) -> None:
    run_id, feature_id = make_feature(session)
    packed = pack_pairs([1], [0.5])
    row = (run_id, feature_id, 2**40, 3, 0.25, 1.5, 9.0, ["dense", "token"])
    row += (packed, packed, [["de", 0.5, 2.0]], b"")

    copy_rows(session, Evidence, [column.name for column in Evidence.__table__.columns], [row])

    evidence = session.scalars(select(Evidence)).one()
    assert (evidence.count, evidence.flags) == (2**40, ["dense", "token"])
    assert evidence.tags == [["de", 0.5, 2.0]]


def make_feature(session: Session) -> tuple[int, int]:
    corpus_id = make_corpus(session)
    tokenizer = Tokenizer(sha256="0" * 64, path="/nowhere")
    session.add(tokenizer)
    session.flush()
    model = Model(name="tiny", path="/tiny", layers=2, d_model=8, tokenizer_id=tokenizer.id)
    session.add(model)
    session.flush()
    release = Release(name="r", model_id=model.id, set_name="res", width=1, k=1, source="/r")
    tokenisation = Tokenisation(corpus_id=corpus_id, tokenizer_id=tokenizer.id, context_tokens=8)
    session.add_all([release, tokenisation])
    session.flush()
    sae = Sae(release_id=release.id, layer=0, d_sae=1, k=1, sha256="0" * 64, artifact="a")
    run = Run(
        job_id=create_job(session, "collect", "Collect", []).id,
        release_id=release.id,
        tokenisation_id=tokenisation.id,
        layers=[0],
        parameters={},
    )
    session.add_all([sae, run])
    session.flush()
    feature = Feature(
        id=sae.id << 20,
        sae_id=sae.id,
        index=0,
        decoder_norm=1.0,
        promoted=b"",
        suppressed=b"",
        neighbours=b"",
    )
    session.add(feature)
    session.flush()
    return run.id, feature.id


def test_a_row_that_is_refused_leaves_none_behind(session: Session) -> None:
    corpus_id = make_corpus(session)
    columns = ["corpus_id", "ordinal", "name", "sha256", "text"]
    twice = [(corpus_id, 0, "a", bytes(32), "a"), (corpus_id, 0, "b", bytes(31) + b"b", "b")]

    with pytest.raises(UniqueViolation), session.begin_nested():
        copy_rows(session, Document, columns, twice)

    assert session.scalars(select(Document.id)).all() == []
