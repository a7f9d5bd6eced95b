"""Documents out of package folders that the test makes itself."""

from pathlib import Path

from scopebook_demo import clean, corpus
from scopebook_demo.build import resplit
from scopebook_demo.sources import LANGUAGES, SOURCES, Source

GERMAN = "Das ist ein Satz, der von Dateien und den Rechten an ihnen handelt, Nummer {}. "


def source(package: str = "p", pattern: str = "doc/*.html") -> Source:
    return Source(package, "1.0", "de", "MIT", "someone", (pattern,))


def write_pages(packages: Path, count: int) -> None:
    folder = packages / "p" / "doc"
    folder.mkdir(parents=True)
    for number in range(count):
        text = "".join(GERMAN.format(f"{number}.{line}") + "<br>" for line in range(20))
        page = f"<title>Seite {number}</title>{text}"
        (folder / f"{number:02}.html").write_text(page, encoding="utf-8")


def test_documents_carry_their_source_and_licence(tmp_path: Path) -> None:
    write_pages(tmp_path, 2)

    documents = corpus.build_documents(tmp_path, [source()])

    assert {(d.tag, d.language, d.source, d.licence) for d in documents} == {
        ("de", "German", "p", "MIT")
    }
    assert {d.title for d in documents} == {"Seite 0", "Seite 1"}


def test_the_same_packages_give_the_same_documents(tmp_path: Path) -> None:
    write_pages(tmp_path, 9)

    first = corpus.build_documents(tmp_path, [source()])
    second = corpus.build_documents(tmp_path, [source()])

    assert first == second
    assert {d.split for d in first} == {"train", "held_out"}


def test_a_repeated_page_is_taken_once(tmp_path: Path) -> None:
    write_pages(tmp_path, 1)
    page = tmp_path / "p" / "doc" / "00.html"
    (page.parent / "copy.html").write_bytes(page.read_bytes())

    assert len(corpus.build_documents(tmp_path, [source()])) == 1


def test_documents_survive_their_file(tmp_path: Path) -> None:
    write_pages(tmp_path, 3)
    documents = corpus.build_documents(tmp_path, [source()])

    corpus.write_documents(documents, tmp_path / "documents.jsonl")

    assert corpus.read_documents(tmp_path / "documents.jsonl") == documents


def test_a_sample_is_split_anew_by_tag(tmp_path: Path) -> None:
    write_pages(tmp_path, 8)
    documents = corpus.build_documents(tmp_path, [source()])

    splits = [d.split for d in resplit(documents)]

    assert splits == ["held_out", "train", "train", "train"] * 2


def test_every_source_has_a_tag_with_a_language_and_a_licence() -> None:
    assert {s.tag for s in SOURCES} == set(LANGUAGES)
    assert all(s.licence and s.holder and s.version for s in SOURCES)


def test_the_shipped_sample_is_attributed_and_of_document_length() -> None:
    sample = Path(corpus.__file__).parent / "bundle" / "corpus" / "sample.jsonl"

    documents = corpus.read_documents(sample)

    known = {(s.package, s.licence, s.tag) for s in SOURCES}
    assert {(d.source, d.licence, d.tag) for d in documents} <= known
    assert all(len(d.text) <= clean.MAX_CHARACTERS for d in documents)
    assert len({d.id for d in documents}) == len(documents)
