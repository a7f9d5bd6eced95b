import pytest
from tests.workers.labeling.planted import make_passage

from scopebook_workers.labeling.origins import language_name, origin_of, words_of_tag


@pytest.mark.parametrize(
    ("tag", "language", "specific", "general"),
    [
        ("zh", "Chinese", "Chinese text", None),
        ("zh_poem", "Chinese", "Chinese poems", "Chinese text"),
        ("de", None, "German text", None),
        ("bible", "English", "Bible verses", "English text"),
        ("bible_es", None, "Spanish Bible verses", "Spanish text"),
        ("python", "English", "Python code", "source code"),
        ("c", "English", "C code", "source code"),
        ("perl_pod", "English", "Perl documentation", "English text"),
        ("en_docs", "English", "English documentation", "English text"),
        ("legal", "English", "legal text", "English text"),
        ("customer-mail", None, "customer emails", None),
        ("tickets", None, "tickets text", None),
        ("wiki.de", None, "German Wikipedia articles", "German text"),
        ("", "French", "French text", None),
        ("", None, None, None),
        ("\u202e\x00", None, None, None),
    ],
)
def test_tags_become_words(
    tag: str, language: str | None, specific: str | None, general: str | None
) -> None:
    assert words_of_tag(tag, language)[:2] == (specific, general)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("zh-CN", "Chinese"),
        ("deu", "German"),
        ("german", "German"),
        ("Klingon", "Klingon"),
        ("", None),
    ],
)
def test_languages_are_named_in_english(given: str, name: str | None) -> None:
    assert language_name(given) == name


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("系统的文件和设置都在这里，用户可以打开窗口。", "Chinese (Han) text"),
        ("設定を変更するには、ファイルを開いてください。", "Japanese text"),
        ("파일을 열고 설정을 변경합니다", "Korean text"),
        ("Мы открыли файл и прочитали, что было в нём написано для вас", "Russian text"),
        ("Το αρχείο ανοίγει και διαβάζεται", "Greek text"),
        ("ไฟล์และการตั้งค่าของระบบ", "Thai text"),
        ("फ़ाइल खोलें और सेटिंग बदलें", "Devanagari script text"),
        ("Die Datei wird nicht geöffnet, wenn der Name zu lang für das System ist", "German text"),
        ("The file is not opened if the name of it is too long for the system", "English text"),
        ("#include <stdio.h>\nint main(void) {\n  const char *s = f->name;\n}\n", "C code"),
        ("def f(self):\n    if self.x:\n        return None\nimport os\n", "Python code"),
    ],
)
def test_a_text_without_metadata_shows_what_it_is(text: str, phrase: str) -> None:
    origin = origin_of(make_passage(text))

    assert origin.phrases[0] == phrase
    assert not origin.stated


@pytest.mark.parametrize("text", ["", "12 34 5", "asdf qwer zxcv", "🦊🦊🦊"])
def test_of_an_unclear_text_nothing_is_said(text: str) -> None:
    assert origin_of(make_passage(text)).phrases == ()


def test_metadata_comes_before_a_guess() -> None:
    passage = make_passage(
        "Die Datei wird nicht geöffnet, wenn der Name zu lang ist", tag="letters"
    )

    assert origin_of(passage).phrases == ("letters text",)
