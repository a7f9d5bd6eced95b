import json
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.corpora import CorpusReport, add_corpus, find_corpus
from scopebook.db.tables import Corpus, Document
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.texts import Reading


def write_jsonl(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def documents(session: Session) -> list[Document]:
    return list(session.scalars(select(Document).order_by(Document.ordinal)))


def corpora(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Corpus)) or 0


def test_json_lines_keep_their_order_and_known_fields(session: Session, tmp_path: Path) -> None:
    full = {
        "text": "中文 🎉\nzwei",
        "id": "doc-7",
        "tag": "zh",
        "language": "zh",
        "title": "Title",
        "source": "https://example.org/7",
        "licence": "CC0",
        "unknown": [1, 2],
    }
    path = write_jsonl(tmp_path / "texts.jsonl", full, {"text": "plain"})

    report = add_corpus(session, "mixed", path)

    first, second = documents(session)
    assert (report.documents, report.characters, report.bad) == (2, 14, 0)
    assert {
        name: getattr(first, "name" if name == "id" else name) for name in full if name != "unknown"
    } == {k: v for k, v in full.items() if k != "unknown"}
    assert (second.name, second.text, second.tag, second.ordinal) == ("line 2", "plain", None, 1)


def test_equal_texts_are_kept_once_and_counted(session: Session, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"}, {"text": "a"})

    report = add_corpus(session, "letters", path)

    assert [document.text for document in documents(session)] == ["a", "b"]
    assert (report.documents, report.duplicates) == (2, 1)


def test_bad_lines_are_reported_with_their_number_and_left_out(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(
        b'{"text": "good"}\n{"text": "caf\xe9"}\n{"text": \n{"txt": "?"}\n[1]\n'
        b'{"text": "nul \\u0000"}\n{"text": "half \\ud83d"}\n{"text": 5}\n\n{"text": " \\n"}\n'
    )

    report = add_corpus(session, "broken", path)

    assert [document.text for document in documents(session)] == ["good"]
    assert (report.bad, report.empty) == (7, 1)
    assert [str(problem) for problem in report.problems] == [
        "line 2: not UTF-8 (byte 0xe9)",
        "line 3: broken JSON (Expecting value at 10)",
        "line 4: the field 'text' holds nothing instead of text",
        "line 5: not a JSON object",
        "line 6: holds a NUL character",
        "line 7: not UTF-8, or half of a surrogate pair",
        "line 8: the field 'text' holds int instead of text",
    ]


def test_a_plain_file_is_one_document_without_its_bad_lines(
    session: Session, tmp_path: Path
) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear all,\n" + b"\xff\xfe\n" + "yours 🎉\n".encode())

    report = add_corpus(session, "letter", path)

    assert [document.text for document in documents(session)] == ["Dear all,\nyours 🎉\n"]
    assert str(report.problems[0]) == "letter.txt, line 2: not UTF-8 (byte 0xff)"


def test_csv_takes_quoted_lines_and_another_text_column(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b'id,body,tag\n1,"two\nlines",x\n2,caf\xe9,y\n3,last,\n')

    report = add_corpus(session, "table", path, reading=Reading(text_field="body"))

    kept = [(document.name, document.text, document.tag) for document in documents(session)]
    assert kept == [("1", "two\nlines", "x"), ("3", "last", None)]
    assert str(report.problems[0]) == "line 4: not UTF-8, or half of a surrogate pair"


def test_a_folder_gives_its_text_files_by_path_tagged_by_sub_folder(
    session: Session, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for name in ("b.txt", "code/a.py", ".git/x.txt", "image.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"text of {name}")

    add_corpus(session, "folder", folder)

    kept = [(document.name, document.tag) for document in documents(session)]
    assert kept == [("b.txt", None), ("code/a.py", "code")]


def test_adding_the_same_texts_again_changes_nothing(session: Session, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"})
    add_corpus(session, "letters", path)

    report = add_corpus(session, "letters", path)

    assert report == CorpusReport(name="letters", documents=2, characters=2, existed=True)
    assert len(documents(session)) == 2


def test_a_name_is_not_taken_twice(session: Session, tmp_path: Path) -> None:
    add_corpus(session, "letters", write_jsonl(tmp_path / "a.jsonl", {"text": "a"}))
    other = write_jsonl(tmp_path / "b.jsonl", {"text": "b"})

    with pytest.raises(ConflictError, match="a corpus 'letters' with other texts; choose another"):
        add_corpus(session, "letters", other)

    assert [document.text for document in documents(session)] == ["a"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.txt", b"", "holds no text that could be read; a corpus needs one"),
        ("bad.jsonl", b"{\n", "no text that could be read (first problem: line 1: broken JSON"),
        ("columns.csv", b"a,b\n1,2\n", "has no column 'text' but 'a', 'b'; name the one"),
        ("empty.csv", b"", "has no column 'text' but none"),
        ("image.png", b"\x89PNG", "image.png is of no kind that can be read; give a .txt"),
    ],
)
def test_what_gives_no_text_is_refused_and_nothing_changed(
    session: Session, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(InvalidInputError) as refusal:
        add_corpus(session, "nothing", path)

    assert sentence in str(refusal.value)
    assert corpora(session) == 0


def test_a_missing_file_is_named(session: Session, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file or folder .*/gone\.txt; give the path"):
        add_corpus(session, "gone", tmp_path / "gone.txt")

    assert corpora(session) == 0


def test_a_name_of_nothing_is_refused(session: Session, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "a"})

    with pytest.raises(InvalidInputError, match="' ' cannot name a corpus"):
        add_corpus(session, " ", path)


def test_an_unknown_corpus_is_answered_with_those_there_are(
    session: Session, tmp_path: Path
) -> None:
    add_corpus(session, "letters", write_jsonl(tmp_path / "a.jsonl", {"text": "a"}))

    with pytest.raises(NotFoundError, match="no corpus 'laws' here; there is letters"):
        find_corpus(session, "laws")
