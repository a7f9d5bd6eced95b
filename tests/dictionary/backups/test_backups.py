"""A backup brings everything back, or says why not; it is whole or not there."""

import stat
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from tests.dictionary.backups.conftest import Instance, Make
from tests.dumps import RELEASE

from scopebook.backups import making, restoring
from scopebook.backups.files_out import NamedFiles, artifact_columns
from scopebook.backups.layout import LEFT_OUT
from scopebook.backups.making import make_backup
from scopebook.backups.marker import mark
from scopebook.backups.restoring import restore_backup
from scopebook.db.base import Base
from scopebook.db.migrate import _config, newest_revision
from scopebook.embedded.server_checks import database
from scopebook.errors import ConflictError, UnavailableError
from scopebook.fingerprint import fingerprint
from scopebook.settings import settings, use_settings

#: A revision without scans and presets.
OLD = "0024"
#: Rows that say where files lie here, or that were at work: they are looked at by themselves.
ADAPTED = ("sae", "embedder", "step", "audit_entry", *LEFT_OUT)


@pytest.mark.parametrize("name", ["backup.zip", "backup"])
def test_what_is_restored_is_what_was_there(
    full: Instance, instance: Make, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    rows, files = full.hashes(but=ADAPTED), full.files()
    assert all(rows.values()), "a table has no row, so nothing is known of its columns"

    report = make_backup(full.enter(), path)
    other = instance("other")
    restored = restore_backup(other.enter(), path)

    assert (report.missing, restored.rows, restored.files) == ([], report.rows, report.files)
    assert other.hashes(but=ADAPTED) == rows
    assert other.files() == files
    prints = []
    for one in (full, other):
        with one.sessions() as session:
            prints.append(fingerprint(session, RELEASE))
        one.leave()
    assert prints[0] == prints[1]


def test_rows_that_name_whole_paths_lead_to_the_new_place(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")

    restore_backup(other.enter(), tmp_path / "b.zip")

    with other.sessions() as session:
        saes = session.scalars(text("SELECT artifact FROM sae ORDER BY id")).all()
        [embedder] = session.scalars(text("SELECT artifact FROM embedder")).all()
    assert all(Path(sae).is_file() for sae in saes)
    assert saes[0] == str(other.data_dir / "saes/release/1.safetensors")
    assert embedder == f"{other.data_dir}/artifacts/embedders/abc"


def test_what_was_at_work_is_due_again_and_logins_are_over(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")

    report = restore_backup(other.enter(), tmp_path / "b.zip")

    assert report.requeued == 1
    with other.sessions() as session:
        steps = session.execute(
            text("SELECT state, attempt, lease_until < now() FROM step ORDER BY id")
        ).all()
        left = [session.scalar(text(f"SELECT count(*) FROM {table}")) for table in LEFT_OUT]
        said = session.scalars(text("SELECT action FROM audit_entry ORDER BY id")).all()
    assert [tuple(step) for step in steps[-3:]] == [
        ("queued", 1, None), ("cancelling", 1, True), ("queued", 1, False),
    ]  # fmt: skip
    assert left == [0] * len(LEFT_OUT)
    assert said[-2:] == ["made a backup", "restored a backup"]


def test_ids_go_on_where_they_ended(full: Instance, instance: Make, tmp_path: Path) -> None:
    with full.enter().begin() as session:
        session.execute(text("SELECT nextval('job_id_seq') FROM generate_series(1, 40)"))
        drawn = session.scalar(text("SELECT last_value FROM job_id_seq"))
    full.leave()
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")

    restore_backup(other.enter(), tmp_path / "b.zip")

    with other.sessions() as session:
        assert session.scalar(text("SELECT nextval('job_id_seq')")) == drawn + 1


def test_the_restored_schema_is_the_one_of_the_migrations(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    def schema(of: Instance) -> list[str]:
        with of.sessions() as session:
            rows = session.scalars(
                text(
                    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' UNION ALL"
                    " SELECT conrelid::regclass || conname || pg_get_constraintdef(oid)"
                    " FROM pg_constraint WHERE connamespace = 'public'::regnamespace UNION ALL"
                    " SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
                )
            ).all()
        of.leave()
        return sorted(rows)

    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")

    restore_backup(other.enter(), tmp_path / "b.zip")

    assert schema(other) == schema(full)


def test_a_backup_is_for_its_owner_alone(full: Instance, tmp_path: Path) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    make_backup(full.enter(), tmp_path / "folder")

    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "b.zip", tmp_path / "folder", tmp_path / "folder/manifest.json")
    }
    assert modes == {"b.zip": 0o600, "folder": 0o700, "folder/manifest.json": 0o600}


def test_only_an_empty_instance_takes_a_backup(full: Instance, tmp_path: Path) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    before = full.hashes(), full.files()

    with pytest.raises(ConflictError, match="not empty"):
        restore_backup(full.enter(), tmp_path / "b.zip")

    assert (full.hashes(), full.files()) == before


def test_an_instance_in_use_takes_no_backup(full: Instance, instance: Make, tmp_path: Path) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")
    factory = other.enter()
    engine = other.sessions.kw["bind"]

    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        with pytest.raises(ConflictError, match="1 other connections use"):
            restore_backup(factory, tmp_path / "b.zip")


def test_a_file_that_is_gone_is_named(full: Instance, instance: Make, tmp_path: Path) -> None:
    (full.data_dir / "artifacts/panels/1.npz").unlink()

    with pytest.raises(ConflictError, match=r"not here: .*panels/1\.npz; "):
        make_backup(full.enter(), tmp_path / "b.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]

    report = make_backup(full.enter(), tmp_path / "b.zip", allow_missing=True)
    other = instance("other")
    restored = restore_backup(other.enter(), tmp_path / "b.zip")
    assert report.missing == restored.missing == [f"{full.data_dir}/artifacts/panels/1.npz"]


def test_another_revision_is_not_backed_up(full: Instance, tmp_path: Path) -> None:
    with full.enter().begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0025'"))

    with pytest.raises(ConflictError, match="at revision 0025"):
        make_backup(full.enter(), tmp_path / "b.zip")


def test_every_table_is_in_a_backup_or_left_out_for_a_reason(
    full: Instance, tmp_path: Path
) -> None:
    make_backup(full.enter(), tmp_path / "folder")

    held = {path.name.split(".")[0] for path in (tmp_path / "folder/tables").iterdir()}
    assert held == set(Base.metadata.tables) - LEFT_OUT


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    instance: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = instance("older")
    with older.enter().begin() as session:
        session.execute(text("INSERT INTO corpus (name, source) VALUES ('old', '/nowhere')"))
    command.downgrade(_config(older.url), OLD)
    with monkeypatch.context() as then:
        then.setattr(making, "newest_revision", lambda: OLD)
        then.setattr(making, "named_files", lambda _session: NamedFiles())
        make_backup(older.enter(), tmp_path / "b.zip")
    other = instance("other")

    report = restore_backup(other.enter(), tmp_path / "b.zip")

    assert (report.revision, report.newest_revision) == (OLD, newest_revision())
    command.check(_config(other.url))
    with other.sessions() as session:
        assert session.scalars(text("SELECT name FROM corpus")).all() == ["old"]
        assert session.scalars(text("SELECT name FROM account ORDER BY 1")).all() == ["local"]


def test_a_database_without_tables_takes_a_backup(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")
    command.downgrade(_config(other.url), "base")
    with other.sessions.begin() as session:
        session.execute(text("DROP TABLE alembic_version"))
        session.execute(text("CREATE TABLE of_others AS SELECT 1 AS one"))
    other.leave()

    restore_backup(other.enter(), tmp_path / "b.zip")

    assert other.hashes(but=(*ADAPTED, "of_others")) == full.hashes(but=ADAPTED)
    with other.sessions() as session:
        assert session.scalars(text("SELECT one FROM of_others")).all() == [1]


def test_every_column_that_names_a_file_is_followed() -> None:
    named = {f"{column.table.name}.{column.name}" for column in artifact_columns()}
    whole_paths = {"sae.artifact", "embedder.artifact"}

    # As those that write files name them; a column of another name belongs to `_COLUMNS`.
    assert named | whole_paths == {
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        for column in table.c
        if "artifact" in column.name or column.name == "guide"
    }


def test_artifacts_of_another_instance_are_not_restored_over(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")
    factory = other.enter()
    theirs = other.data_dir / "artifacts" / "maps" / "release1-x.npz"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")

    with pytest.raises(ConflictError, match="--over-artifacts"):
        restore_backup(factory, tmp_path / "b.zip")
    assert theirs.read_bytes() == b"theirs"

    restore_backup(factory, tmp_path / "b.zip", over_artifacts=True)
    assert theirs.read_bytes() == b"theirs"


def test_no_table_changes_while_a_backup_is_made(full: Instance, tmp_path: Path) -> None:
    factory = full.enter()
    seen: list[str] = []

    def rewrite(said: str) -> None:
        if said != "copying table account":
            return
        with create_engine(full.url).connect() as other:
            other.execute(text("SET lock_timeout = '100ms'"))
            with pytest.raises(OperationalError, match="lock timeout") as refused:
                other.execute(text("ALTER TABLE webhook ADD COLUMN more int DEFAULT 1"))
            seen.append(str(refused.value))

    make_backup(factory, tmp_path / "b.zip", told=rewrite)

    assert len(seen) == 1


def test_weights_of_a_name_that_not_every_system_can_have_come_back(
    full: Instance, instance: Make, tmp_path: Path
) -> None:
    odd = tmp_path / "a:b.safetensors"
    odd.write_bytes(b"weights")
    with full.enter().begin() as session:
        before, sae_id = session.execute(text("SELECT artifact, id FROM sae LIMIT 1")).one()
        session.execute(
            text("UPDATE sae SET artifact = :path WHERE id = :id"), {"path": str(odd), "id": sae_id}
        )
    make_backup(full.enter(), tmp_path / "b.zip")
    other = instance("other")

    restore_backup(other.enter(), tmp_path / "b.zip")

    with other.sessions() as session:
        found = session.scalar(text("SELECT artifact FROM sae WHERE id = :id"), {"id": sae_id})
    assert Path(str(found)).read_bytes() == b"weights"
    assert before != found


def test_no_part_starts_over_a_restore_that_has_not_ended(instance: Make, tmp_path: Path) -> None:
    other = instance("other")
    with other.enter().begin() as session:
        mark(session, "b.zip")

    check = database(settings().model_copy(update={"database_url": other.url}))

    assert check.state == "missing"
    assert "a restore was begun and has not ended" in check.says


def test_a_disk_that_cannot_hold_it_is_named(
    any_backup: Path, instance: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = instance("other")
    other.enter()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    use_settings(settings().model_copy(update={"artifacts_url": str(elsewhere)}))
    # The artifacts' folder is on a disk of its own, and that one is full.
    disks = {elsewhere: 2, other.data_dir: 1}
    monkeypatch.setattr(restoring, "_disk_of", lambda place: disks.get(place, 0))
    monkeypatch.setattr(restoring, "free_bytes", lambda place: 10 if place == elsewhere else 10**12)

    with pytest.raises(UnavailableError, match=rf"on the disk of {elsewhere}, which has 0.0 GB"):
        restore_backup(other.sessions, any_backup)

    assert list(elsewhere.iterdir()) == []
