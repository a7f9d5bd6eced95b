"""Examples as text: cut at characters, never inside one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from makers import make_corpus, make_examples, make_release, make_run
from scopebook.db.tables import Context
from scopebook.examples import Window, cut_into_pieces, read_examples


def pieces(
    text: str, spans: list[tuple[int, int]], activations: list[float]
) -> tuple[list[tuple[str, float]], list[int]]:
    found, piece_of = cut_into_pieces(
        text,
        np.asarray(spans, dtype=np.int32).reshape(-1, 2),
        np.asarray(activations, dtype=np.float32),
    )
    return [(piece.text, piece.activation) for piece in found], piece_of


def test_words_are_cut_at_their_borders() -> None:
    found, piece_of = pieces("ab cd", [(0, 2), (2, 5)], [0, 1])

    assert found == [("ab", 0), (" cd", 1)]
    assert piece_of == [0, 1]


def test_tokens_that_split_a_character_make_one_piece() -> None:
    found, piece_of = pieces("a中b", [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)], [0, 1, 3, 2, 0])

    assert found == [("a", 0), ("中", 3), ("b", 0)]
    assert piece_of == [0, 1, 1, 1, 2]


def test_a_token_that_begins_inside_a_character_joins_it() -> None:
    found, _ = pieces("中文", [(0, 1), (0, 2)], [1, 2])

    assert found == [("中文", 2)]


def test_text_between_tokens_is_kept() -> None:
    found, _ = pieces("a  b", [(0, 1), (3, 4)], [0, 1])

    assert found == [("a", 0), ("  b", 1)]


@given(st.text(min_size=1), st.data())
def test_no_character_is_lost_or_doubled(text: str, data: st.DataObject) -> None:
    starts = sorted(data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1)))
    spans = [(start, data.draw(st.integers(start + 1, len(text)))) for start in starts]

    found, piece_of = pieces(text, spans, [0.0] * len(spans))

    assert "".join(piece for piece, _ in found) == text
    assert piece_of == sorted(piece_of)
    assert max(piece_of) < len(found)


def test_an_example_names_its_document_and_peak(session: Session) -> None:
    saes = make_release(session)
    documents = make_corpus(session, ["das 中文 text"], tag="zh")
    make_run(session, saes, documents)
    context_id = session.scalars(select(Context.id)).one()
    examples = make_examples([context_id], peak=4, end=8)

    (example,) = read_examples(session, [Window(examples=examples, position=0)])

    assert "".join(piece.text for piece in example.tokens) == "das 中文 t"
    assert example.tokens[example.peak].text == "中"
    assert example.tokens[example.peak].activation == pytest.approx(3.0)
    assert (example.cut_left, example.cut_right) == (False, True)
    assert (example.document.name, example.document.tag) == ("doc-0", "zh")


def test_a_preview_is_cut_around_the_peak(session: Session) -> None:
    saes = make_release(session)
    documents = make_corpus(session, ["0123456789"])
    make_run(session, saes, documents)
    context_id = session.scalars(select(Context.id)).one()
    examples = make_examples([context_id], peak=5, end=10)

    (example,) = read_examples(session, [Window(examples=examples, position=0, left=2, right=1)])

    assert "".join(piece.text for piece in example.tokens) == "3456"
    assert example.cut_left
    assert example.cut_right
