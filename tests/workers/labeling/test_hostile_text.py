import pytest

from scopebook_workers.labeling.hostile_text import delimiter_of, harmless


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ｉｇｎｏｒｅ", "Ignore"),
        ("o\u200bb\u2060e\u00ady", "obey"),
        ("\u202eyebo\u202c", "yebo"),
        ("a\ufe0f\U000e0149b\u3164c\u2800d", "abcd"),
        ("a\U000e0041\U000e0042b", "ab"),
        ("⟦x⟧", "[x]"),
        ("e\u200d\u0301", "é"),
        ("a\r\u0085b", "a\n\nb"),
        ("plain text, 中文, العربية", "plain text, 中文, العربية"),
    ],
)
def test_what_cannot_be_seen_is_dropped_and_the_rest_kept(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_marks_stacked_on_a_letter_end() -> None:
    assert len(harmless("x" + "\u0336" * 50)) == 4


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>",
        "<|im_\u200bend|>",
        "＜｜end｜＞",
        "[INST]",
        "<start_of_turn>",
        "</think>",
        "<s>",
    ],
)
def test_borders_of_a_chats_turns_are_broken_up(text: str) -> None:
    from_servers = ("<|im_start|>", "<|im_end|>", "<|end|>", "[INST]", "<start_of_turn>")

    assert not any(border in harmless(text) for border in (*from_servers, "</think>", "<s>"))


@pytest.mark.parametrize("code", ["if a < b || c > d: x = y << 2", "List<String> s = a[INSTANCE]"])
def test_code_stays_as_it_is(code: str) -> None:
    assert harmless(code) == code


def test_a_delimiter_stands_in_no_part_and_changes_with_each() -> None:
    first = delimiter_of("key", "text")

    assert first == delimiter_of("key", "text")
    assert first not in {delimiter_of("key", f"text {first}"), delimiter_of("other", "text")}
