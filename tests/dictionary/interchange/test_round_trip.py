"""A dump read into an empty instance is the same dictionary, by hash and to its readers."""

from pathlib import Path

from sqlalchemy import select

from dictionary.interchange.conftest import Instance
from dictionary.interchange.damage import as_version_1
from dumps import RELEASE
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.label_tables import Label
from scopebook.db.review_tables import Review
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Document, Sae
from scopebook.feature_page import read_feature
from scopebook.fingerprint import fingerprint
from scopebook.interchange.content_hash import content_hash
from scopebook.interchange.layout import TABLES
from scopebook.interchange.parquet_in import import_parquet
from scopebook.interchange.parquet_out import export_parquet
from scopebook.release_names import parse_feature_id


def hashes(factory: Sessions) -> dict[str, str]:
    with factory() as session:
        return content_hash(session, list(session.scalars(select(Sae)))).tables


def test_a_dump_in_an_empty_instance_is_the_same_dictionary(
    source: Sessions, dump: Path, instance: Instance, tmp_path: Path
) -> None:
    target = instance()

    report = import_parquet(target, dump)

    assert report.refusals == []
    assert report.differing == []
    assert report.equal is True
    assert hashes(target) == hashes(source)


def test_a_dump_of_the_first_version_comes_in_without_peoples_work(
    source: Sessions, dump: Path, instance: Instance
) -> None:
    with source() as session:
        as_version_1(session, dump)
    target = instance()

    report = import_parquet(target, dump)

    assert (report.refusals, report.equal) == ([], True)
    assert report.notes == [
        "Reviews, comments and tags are for readers in a dump of version 1 and stay there; export "
        "the dictionary anew to carry them over."
    ]
    with target() as session:
        assert not session.scalars(select(Review)).all()
        assert set(session.scalars(select(Label.account_id))) == {None}


def test_a_page_of_a_feature_reads_the_same(
    source: Sessions, dump: Path, instance: Instance
) -> None:
    target = instance()

    import_parquet(target, dump)

    pages = []
    for factory in (source, target):
        with factory() as session:
            pages.append(read_feature(session, parse_feature_id("Tiny-Model/1-res-w1k-l0_8/0")))
    here, there = pages
    assert there.label is not None
    assert here.label is not None
    assert (there.label.text, there.label.source) == ("sleeping cats", "llm")
    assert [one.tokens for one in there.examples] == [one.tokens for one in here.examples]
    assert [one.document.name for one in there.examples] == ["doc-0", "doc-1", "doc-2", "doc-3"]
    assert [(s.ordinal, s.keywords, s.members) for s in there.senses] == [
        (s.ordinal, s.keywords, s.members) for s in here.senses
    ]
    assert [one.value for one in there.scores] == [one.value for one in here.scores]
    assert [(one.text, one.source, one.author, one.created_at) for one in there.labels] == [
        (one.text, one.source, one.author, one.created_at) for one in here.labels
    ]


def test_the_fingerprint_of_the_collection_is_the_manifests(
    source: Sessions, dump: Path, instance: Instance
) -> None:
    target = instance()

    import_parquet(target, dump)

    with source() as here, target() as there:
        assert fingerprint(there, RELEASE).layers == fingerprint(here, RELEASE).layers


def test_a_dump_of_what_was_imported_is_the_same_dump(
    source: Sessions, dump: Path, instance: Instance, tmp_path: Path
) -> None:
    target = instance()
    import_parquet(target, dump)

    with target() as session:
        export_parquet(session, tmp_path / "again")

    files = [path.relative_to(dump) for path in sorted(dump.rglob("*.parquet"))]
    differing = [
        str(file)
        for file in files
        if (tmp_path / "again" / file).read_bytes() != (dump / file).read_bytes()
    ]
    assert len(files) == len(TABLES)
    # Which says how many texts the corpus had: those that nothing points to stayed away.
    assert differing == ["corpora/00000.parquet"]
    with target() as session:
        names = session.scalars(select(Document.name).order_by(Document.ordinal)).all()
    assert names == ["doc-0", "doc-1", "doc-2", "doc-3", "doc-4", "doc-6"]


def test_a_search_finds_what_came_in_by_its_words(dump: Path, instance: Instance) -> None:
    target = instance()

    import_parquet(target, dump)

    with target() as session:
        entries = session.scalars(select(FeatureEntry).order_by(FeatureEntry.feature_id)).all()
        assert len(entries) == 32
        assert (entries[0].state, entries[0].source, entries[0].score) == ("labelled", "llm", 0.8)
        assert (entries[1].author, entries[1].flags) == ("ada", ["dense"])
