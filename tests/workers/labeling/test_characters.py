import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scopebook_workers.labeling.characters import legible, script_shares, token_name
from scopebook_workers.labeling.terms import Vocabulary


@given(st.text(), st.integers(10, 120))
def test_a_legible_line_is_short_and_without_control_characters(text: str, limit: int) -> None:
    line = legible(text, limit=limit)

    assert len(line) <= limit
    assert line == line.strip()
    assert not {unicodedata.category(char) for char in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl"}
    assert "\n" not in line


def test_a_long_line_is_cut_between_words() -> None:
    assert legible("one two three " * 20, limit=30) == "one two three one two three…"


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (" der", '"der"'),
        ("\n", "newline"),
        ("    ", "space x4"),
        ("\n\n  ", "newline x2 + space x2"),
        ("\t", "tab"),
        ("", "an empty token"),
        (",", '"," (comma)'),
        ('"', "quotation mark"),
        ("。", '"。" (ideographic full stop)'),
        ("\u200b", "an invisible character"),
        ('a"b', '"a\'b"'),
    ],
)
def test_tokens_are_named_so_that_they_can_be_read(token: str, name: str) -> None:
    assert token_name(token) == name


def test_scripts_are_counted_by_letters() -> None:
    shares = script_shares("ab 中文 12 を")

    assert shares == {"Latin": 0.4, "Han": 0.4, "Kana": 0.2}


def test_terms_are_words_grams_and_operators_where_they_stand() -> None:
    vocabulary = Vocabulary()
    text = "Der x==y 系统文 ファイル it's हिन्दी"

    terms = vocabulary.read(text)

    read = [vocabulary.spelling(number) for number in terms.ids.tolist()]
    assert read == [
        "Der", "x", "==", "y", "系统", "系统文", "统文", "ファイル", "it's", "हिन्दी",
    ]  # fmt: skip
    for word, begin, end in zip(read, terms.begins, terms.ends, strict=True):
        assert text[begin:end] == word


def test_spellings_share_a_folded_number() -> None:
    vocabulary = Vocabulary()

    upper, lower = vocabulary.read("Straße straße").ids

    folds = vocabulary.folds()
    assert upper != lower
    assert folds[upper] == folds[lower]


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    terms = Vocabulary().read(text)

    assert (terms.begins < terms.ends).all()
    assert (terms.begins[1:] >= terms.begins[:-1]).all()
