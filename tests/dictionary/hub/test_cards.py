from pathlib import Path

import pytest

from scopebook.hub import read_card
from scopebook.hub.cards import caution_of, licence_of


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# X", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: qwen\n---\n", "qwen"),
        ("---\nlicense: 'mit' # comment\ntags:\n- a\n---\n", "mit"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense:\ntags: [a]\n---\n", "unknown"),
        ("---\n: broken: [yaml\n---\n", "unknown"),
        ("# A card that only says license: mit in its text", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_licence_is_the_one_of_the_metadata(card: str, licence: str) -> None:
    assert licence_of(card) == licence


@pytest.mark.parametrize(
    "start", ["## Caution", "### ⚠️ Caution", "**Caution:** read this", "# CAUTION AND USE"]
)
def test_the_caution_ends_before_the_next_section(start: str) -> None:
    card = f"---\nlicense: mit\n---\n# Title\n\nText.\n\n{start}\n\nDo no harm.\n\n# Citation\nX"

    assert caution_of(card) == f"{start}\n\nDo no harm."


def test_smaller_headings_belong_to_the_caution() -> None:
    assert caution_of("## Caution\n### One\na\n### Two\nb\n## End") == (
        "## Caution\n### One\na\n### Two\nb"
    )


def test_an_alert_is_as_long_as_its_quote() -> None:
    assert caution_of("# T\n> [!CAUTION]\n> Do no harm.\n> At all.\nMore.") == (
        "> [!CAUTION]\n> Do no harm.\n> At all."
    )


def test_a_word_in_the_text_is_no_caution() -> None:
    assert caution_of("# T\nUse it with caution.\n") == ""


def test_a_folder_without_a_card_has_an_empty_one(tmp_path: Path) -> None:
    card = read_card(tmp_path)

    assert (card.licence, card.text, card.caution, card.licence_text) == ("unknown", "", "", "")


def test_a_card_of_broken_bytes_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xff\xfe\x00 text")

    card = read_card(tmp_path)

    assert card.licence == "mit"
    assert "\x00" not in card.text
