"""What people said goes into an empty instance whole: shown, counted and undone as it was there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from conftest import _administer, copy_template
from dictionary.interchange.conftest import Instance
from dumped_people import DISCUSSED, PARTED
from people import make_actor
from scopebook.accounts import actor_without_accounts, has_accounts, local_actor
from scopebook.annotations import annotation_of
from scopebook.db.account_tables import Account
from scopebook.db.list_tables import FeatureListItem
from scopebook.db.review_tables import BulkAction, Change, FeatureVersion, QueueEntry
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Feature, Sae
from scopebook.discussion import comments_for
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.errors import ConflictError, ForbiddenError
from scopebook.feature_writes import open_write
from scopebook.histories import history_of, undo_change
from scopebook.interchange.parquet_in import import_parquet
from scopebook.interchange.parquet_out import export_parquet
from scopebook.lists import list_lists, read_items
from scopebook.settings import settings, use_settings
from scopebook.tags import list_tags, save_tag


@pytest.fixture(scope="module")
def both(
    postgres: EmbeddedPostgres,
    template: str,
    any_dump: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Sessions, Sessions]]:
    """The instance that the dump is of, and one that it was read into; nobody changes either."""
    name = f"test_{os.urandom(6).hex()}"
    copy_template(postgres, template, name)
    engines = [create_engine(postgres.url(one)) for one in ("dumped", name)]
    here, there = (sessionmaker(engine, expire_on_commit=False) for engine in engines)
    before = settings()
    use_settings(before.model_copy(update={"data_dir": tmp_path_factory.mktemp("data")}))
    import_parquet(there, any_dump)
    use_settings(before)
    yield here, there
    for engine in engines:
        engine.dispose()
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def first_sae(session: Session) -> Sae:
    return session.scalars(select(Sae).order_by(Sae.layer)).first() or pytest.fail("no SAE")


def feature_of(session: Session, index: int) -> int:
    wanted = select(Feature.id).where(
        Feature.sae_id == first_sae(session).id, Feature.index == index
    )
    return session.scalars(wanted).one()


def said_of(factory: Sessions, index: int) -> dict[str, Any]:
    """Return what people said of a feature, without row ids."""
    with factory() as session:
        found = annotation_of(session, feature_of(session, index))
        texts = {label.id: label.text for label in found.labels}
        return {
            "version": found.version,
            "in force": sorted(label.text for label in found.labels if label.current),
            "reviews": [
                (texts.get(one.label_id), one.author, one.verdict, one.reason)
                for one in found.reviews
            ],
            "reasons": sorted((texts[one.label_id], one.clause) for one in found.reasons),
            "pinned": texts.get(found.pinned or 0),
            "second opinions": [(one.author, one.reason) for one in found.second_opinions],
            "tags": [(one.name, one.author) for one in found.tags],
            "marks": len(found.marks),
            "comments": [(one.author, one.text, one.mentions) for one in found.comments],
            "grouped": found.grouped,
            "changes": found.changes,
        }


def as_imported(said: Any) -> Any:
    """Return what was said, with authors as they are called where it came in."""
    if isinstance(said, dict):
        return {key: as_imported(value) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return type(said)(as_imported(one) for one in said)
    return f"{said} (imported)" if said in ("ada", "ben", "cy") else said


@pytest.mark.parametrize("index", [PARTED, DISCUSSED])
def test_a_feature_says_what_people_said_under_names_that_are_no_accounts(
    both: tuple[Sessions, Sessions], index: int
) -> None:
    source, target = both

    here = said_of(source, index)

    assert here["changes"] > 3
    assert said_of(target, index) == as_imported(here)
    with target() as session:
        assert not has_accounts(session)
        assert actor_without_accounts(session) is not None


def undo_all(factory: Sessions) -> list[tuple[int, str]]:
    """Let an editor undo what can be undone, the newest first; return what was refused."""
    refused = []
    with factory.begin() as session:
        editor = make_actor(session, "ed", "editor")
        entries = session.scalars(
            select(Change).order_by(Change.feature_id.desc(), Change.version.desc())
        ).all()
        for entry in entries:
            write = open_write(session, editor, entry.feature_id, None)
            try:
                with session.begin_nested():
                    undo_change(session, write, entry.id)
            except ConflictError:
                refused.append((entry.version, entry.kind))
    return refused


def test_all_that_was_done_can_be_undone_as_where_it_was_done(
    source: Sessions, dump: Path, instance: Instance
) -> None:
    target = instance()
    import_parquet(target, dump)

    here, there = undo_all(source), undo_all(target)

    assert there == here
    for index in (PARTED, DISCUSSED):
        assert said_of(target, index) == as_imported(said_of(source, index))


def test_only_editors_undo_what_an_imported_author_did(both: tuple[Sessions, Sessions]) -> None:
    with both[1]() as session:
        ben, ed = make_actor(session, "ben", "annotator"), make_actor(session, "ed", "editor")
        feature_id = feature_of(session, DISCUSSED)
        newest = history_of(session, feature_id)[0][0]

        with pytest.raises(ForbiddenError, match="another person's"):
            undo_change(session, open_write(session, ben, feature_id, newest.version), newest.id)
        undone = undo_change(
            session, open_write(session, ed, feature_id, newest.version), newest.id
        )

        assert newest.author.endswith(" (imported)")
        assert undone.version == newest.version + 1


def test_who_has_the_name_of_an_imported_author_is_not_taken_for_them(
    both: tuple[Sessions, Sessions],
) -> None:
    with both[1]() as session:
        ada = make_actor(session, "ada", "annotator")
        spoken_to, _ = comments_for(session, ada.account_id, limit=5)
        lists, _ = list_lists(session, ada)

    assert spoken_to == []
    assert [(one.name, one.owner, one.mine) for one in lists] == [("dogs", "ada (imported)", False)]


def test_lists_come_in_as_they_were_and_admins_see_those_of_imported_authors(
    both: tuple[Sessions, Sessions],
) -> None:
    with both[1]() as session:
        admin = local_actor(session)
        lists, _ = list_lists(session, admin)
        items, _ = read_items(session, admin, lists[1].id)

    assert [(one.name, one.shared, one.search, one.features) for one in lists] == [
        ("mine", False, {"q": "cats"}, 0),
        ("dogs", True, None, 2),
    ]
    assert [(one.feature.layer, one.note, one.added_by) for one in items] == [
        (1, "", "ada (imported)"),
        (2, "", "ada (imported)"),
    ]


def test_the_queue_knows_what_came_in(both: tuple[Sessions, Sessions]) -> None:
    with both[1]() as session:
        asked = session.get_one(QueueEntry, feature_of(session, DISCUSSED))
        assert (int(asked.priority), asked.open) == (4, True)
        versions = session.execute(select(FeatureVersion.feature_id, FeatureVersion.version)).all()
        counted = session.execute(
            select(Change.feature_id, func.count()).group_by(Change.feature_id)
        ).all()
    assert sorted(map(tuple, versions)) == sorted(map(tuple, counted))


def test_a_dump_read_twice_says_nothing_twice(dump: Path, instance: Instance) -> None:
    target = instance()
    import_parquet(target, dump)
    before = {index: said_of(target, index) for index in (PARTED, DISCUSSED)}

    again = import_parquet(target, dump)

    assert {index: said_of(target, index) for index in (PARTED, DISCUSSED)} == before
    assert [again.tables[name].written for name in ("history", "lists", "list_items")] == [0] * 3
    assert again.tables["lists"].known == 2
    assert again.tables["history"].left_out == again.tables["history"].read > 0
    with target() as session:
        assert session.scalar(select(func.count()).select_from(BulkAction)) == 1
        assert session.scalar(select(func.count()).select_from(FeatureListItem)) == 2


def test_an_instances_own_dump_makes_no_authors(source: Sessions, dump: Path) -> None:
    before = said_of(source, DISCUSSED)

    import_parquet(source, dump)

    assert said_of(source, DISCUSSED) == before
    with source() as session:
        assert not session.scalars(select(Account).where(Account.imported_name.is_not(None))).all()


def test_two_layers_of_one_instance_make_one_list_and_one_author(
    source: Sessions, instance: Instance, tmp_path: Path
) -> None:
    target = instance()
    for layer in (1, 2):
        with source() as session:
            export_parquet(session, tmp_path / f"layer-{layer}", layers=[layer])

    reports = [import_parquet(target, tmp_path / f"layer-{layer}") for layer in (1, 2)]

    assert [report.equal for report in reports] == [True, True]
    with target() as session:
        lists, _ = list_lists(session, local_actor(session))
        names = session.scalars(select(Account.name).where(Account.imported_name == "ada")).all()
    assert {one.name: one.features for one in lists} == {"mine": 0, "dogs": 2}
    assert names == ["ada (imported)"]


def test_words_that_mean_something_here_keep_their_meaning(dump: Path, instance: Instance) -> None:
    target = instance()
    with target.begin() as session:
        ed = make_actor(session, "ed", "editor")
        save_tag(session, ed, "animals", description="Only wild ones.")
        save_tag(session, ed, "code", description="Cobol.")

    report = import_parquet(target, dump)

    assert report.equal is True
    with target() as session:
        words = {tag.name: (tag.description, tag.retired) for tag in list_tags(session)}
    assert words["animals"] == ("Only wild ones.", False)
    assert words["code"] == ("Cobol.", False)
    assert words["plants"] == (None, True)
    assert "language" in words


def test_nothing_that_lets_people_in_is_in_a_dump(source: Sessions, tmp_path: Path) -> None:
    with source.begin() as session:
        ada = session.scalars(select(Account).where(Account.name == "ada")).one()
        ada.password_hash = "$argon2$secret"
        ada.issuer, ada.subject = "https://issuer.example", "ada@example.org"
        token = session.scalars(select(BulkAction.token)).one()
        export_parquet(session, tmp_path / "dump")

    tables = [
        pd.read_parquet(folder) for folder in (tmp_path / "dump").iterdir() if folder.is_dir()
    ]
    held = " ".join(table.to_csv() for table in tables)
    assert "ada" in held
    assert not [
        one for one in (token, "argon2", "issuer.example", "ada@example.org") if one in held
    ]
