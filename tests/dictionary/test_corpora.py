import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakSet

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook import corpora as corpora_module
from scopebook.corpora import CorpusReport, add_corpus, find_corpus
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Corpus, Document
from scopebook.errors import ConflictError, HubError, InvalidInputError, NotFoundError
from scopebook.inventory import list_corpora
from scopebook.texts import Reading, Text


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

    assert report == CorpusReport(name="letters", documents=2, characters=2, existed=True, held=2)
    assert len(documents(session)) == 2


def test_a_name_is_not_taken_twice(session: Session, tmp_path: Path) -> None:
    add_corpus(session, "letters", write_jsonl(tmp_path / "a.jsonl", {"text": "a"}))
    other = write_jsonl(tmp_path / "b.jsonl", {"text": "b"})

    sentence = "'letters' with other texts; choose another name for this one, or .* --extend"
    with pytest.raises(ConflictError, match=sentence):
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


STORY = "".join(
    f"Sentence number {number} tells of the {number * 7919}th day. " for number in range(40)
)


def test_near_duplicates_are_kept_flagged_and_counted(session: Session, tmp_path: Path) -> None:
    texts = [
        STORY,
        "Something else, of no likeness.",
        STORY.replace("7919th", "7918th"),
        STORY + "!",
    ]
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": text} for text in texts))

    report = add_corpus(session, "stories", path)

    first, other, *near = documents(session)
    assert [one.near_id for one in near] == [first.id, first.id]
    assert (first.near_id, other.near_id) == (None, None)
    assert (report.documents, report.near_duplicates) == (4, 2)
    assert "2 near-duplicates of other documents, kept and flagged" in str(report)
    assert [listed.near_duplicates for listed in list_corpora(session)] == [2]


def test_near_duplicates_do_not_depend_on_how_documents_are_batched(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{STORY} variant {number % 5} {'x' * (number // 5)}" for number in range(30)]
    path = write_jsonl(tmp_path / "a.jsonl", *({"text": text} for text in texts))
    add_corpus(session, "whole", path)
    monkeypatch.setattr(corpora_module, "_TOGETHER", 4)

    add_corpus(session, "parts", path)

    found = documents(session)
    place = {one.id: one.ordinal for one in found}
    flags = {
        name: [place.get(one.near_id) for one in found if one.corpus_id == corpus.id]
        for name in ("whole", "parts")
        for corpus in [find_corpus(session, name)]
    }
    assert flags["whole"] == flags["parts"]


def test_an_extension_appends_only_what_is_new(session: Session, tmp_path: Path) -> None:
    first = write_jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": STORY})
    more = write_jsonl(tmp_path / "b.jsonl", {"text": STORY}, {"text": "b"}, {"text": STORY + "."})
    add_corpus(session, "letters", first)
    before = [(one.id, one.ordinal, one.text) for one in documents(session)]

    report = add_corpus(session, "letters", more, extend=True)

    after = documents(session)
    assert [(one.id, one.ordinal, one.text) for one in after[:2]] == before
    assert [(one.ordinal, one.text) for one in after[2:]] == [(2, "b"), (3, STORY + ".")]
    assert after[3].near_id == after[1].id
    assert (report.documents, report.new, report.near_duplicates) == (3, 2, 1)
    assert str(report).startswith(
        "letters: 2 documents added (1 of the source there already); "
        "the corpus holds 4 documents now"
    )
    assert find_corpus(session, "letters").source == f"{first} + {more}"


def test_an_extension_by_nothing_new_changes_nothing_and_says_so(
    session: Session, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"})
    add_corpus(session, "letters", path)

    report = add_corpus(
        session, "letters", write_jsonl(tmp_path / "b.jsonl", {"text": "b"}), extend=True
    )

    assert (report.new, report.existed, len(documents(session))) == (0, True, 2)
    assert str(report) == "letters: nothing new in 1 document; the corpus holds 2 documents"
    assert find_corpus(session, "letters").source == str(path)


def test_an_extension_without_text_is_refused_and_nothing_changed(
    session: Session, tmp_path: Path
) -> None:
    add_corpus(session, "letters", write_jsonl(tmp_path / "a.jsonl", {"text": "a"}))

    with pytest.raises(InvalidInputError, match="holds no text that could be read"):
        add_corpus(session, "letters", write_jsonl(tmp_path / "b.jsonl", [1]), extend=True)

    assert [one.text for one in documents(session)] == ["a"]


def test_extending_what_is_not_there_registers_it(session: Session, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", {"text": "a"})

    report = add_corpus(session, "letters", path, extend=True)

    assert (report.new, report.existed, len(documents(session))) == (1, False, 1)


@pytest.mark.parametrize("there_before", [True, False])
def test_two_extensions_at_once_do_not_clash(
    sessions: Sessions, tmp_path: Path, there_before: bool
) -> None:
    halves = [
        write_jsonl(tmp_path / f"{start}.jsonl", *({"text": f"{start + n}"} for n in range(30)))
        for start in (0, 20)
    ]
    if there_before:
        with unit_of_work(sessions) as session:
            add_corpus(session, "numbers", write_jsonl(tmp_path / "x.jsonl", {"text": "x"}))

    def extend(path: Path) -> int:
        with unit_of_work(sessions) as session:
            return add_corpus(session, "numbers", path, extend=True).new

    with ThreadPoolExecutor(2) as pool:
        new = list(pool.map(extend, halves))

    with sessions() as session:
        found = documents(session)
    assert sum(new) == 50
    assert [one.ordinal for one in found] == list(range(50 + there_before))
    assert [one.id for one in found] == sorted(one.id for one in found)


def test_a_source_that_breaks_off_leaves_nothing(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: object, reading: object) -> Iterator[Text]:
        for number in range(600):
            yield Text(name=f"{number}", text=f"text {number}")
        raise HubError("the connection broke off.")

    monkeypatch.setattr(corpora_module, "read_texts", broken)

    with pytest.raises(HubError):
        add_corpus(session, "half", "hf:owner/name")

    assert (corpora(session), documents(session)) == (0, [])


def test_adding_is_streamed(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more texts are alive at once than are written together."""
    alive: WeakSet[Text] = WeakSet()
    most = 0

    def counted(source: object, reading: object) -> Iterator[Text]:
        nonlocal most
        for number in range(3000):
            one = Text(name=f"{number}", text=f"text {number}")
            alive.add(one)
            most = max(most, len(alive))
            yield one

    monkeypatch.setattr(corpora_module, "read_texts", counted)

    report = add_corpus(session, "many", "anywhere")

    assert report.documents == 3000
    assert most <= 2 * corpora_module._TOGETHER + 2
