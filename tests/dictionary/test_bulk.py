import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.makers import feature_id, make_corpus, make_release, make_run

from scopebook.bulk import copy_rows
from scopebook.db.tables import Document, Evidence
from scopebook.packing import pack_pairs


def test_rows_keep_text_bytes_and_nothing(session: Session) -> None:
    corpus_id = make_corpus(session, ["before"])[0].corpus_id
    columns = ["corpus_id", "ordinal", "name", "sha256", "text", "language"]
    rows = [
        (corpus_id, 1, "first", b"\x00\xff" * 16, "tab\tand \\N, 中文 🎉\n", None),
        (corpus_id, 2, "second", bytes(32), "", "de"),
    ]

    written = copy_rows(session, Document, columns, rows)

    found = session.execute(
        select(*(getattr(Document, name) for name in columns))
        .where(Document.ordinal > 0)
        .order_by(Document.id)
    ).all()
    assert written == 2
    assert [tuple(row) for row in found] == rows


def test_arrays_and_json_arrive_as_they_are(session: Session) -> None:
    saes = make_release(session)
    run = make_run(session, saes, make_corpus(session, ["a text"]))
    packed = pack_pairs([1], [0.5])
    row = (run.id, feature_id(saes[0], 3), 2**40, 3, 0.25, 1.5, 9.0, ["dense", "token"])
    row += (packed, packed, False, [["de", 0.5, 2.0]], b"", 2**41, None)

    copy_rows(session, Evidence, [column.name for column in Evidence.__table__.columns], [row])

    evidence = session.scalars(select(Evidence)).one()
    assert (evidence.count, evidence.flags) == (2**40, ["dense", "token"])
    assert (evidence.histogram, evidence.tags) == (packed, [["de", 0.5, 2.0]])
    assert (evidence.top_tokens_exact, evidence.first_context_id) == (False, 2**41)
    assert evidence.last_context_id is None


def test_a_row_that_is_refused_leaves_none_behind(session: Session) -> None:
    corpus_id = make_corpus(session, ["before"])[0].corpus_id
    columns = ["corpus_id", "ordinal", "name", "sha256", "text"]
    twice = [(corpus_id, 1, "a", bytes(32), "a"), (corpus_id, 1, "b", bytes(31) + b"b", "b")]

    with pytest.raises(UniqueViolation), session.begin_nested():
        copy_rows(session, Document, columns, twice)

    assert session.scalars(select(Document.name)).all() == ["doc-0"]
