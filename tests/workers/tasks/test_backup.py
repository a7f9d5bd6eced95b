"""A backup that is made while workers and people write holds one moment, and goes on from there."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from tests.tiny_collections import RELEASE, ask_for_collection, do_all_steps, make_tiny

from conftest import _administer, copy_template
from makers import make_label
from scopebook.artifact_holds import keeping, removing
from scopebook.artifacts import list_artifacts
from scopebook.backups.making import make_backup
from scopebook.backups.restoring import restore_backup
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.tables import Sae, Shard
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.errors import ConflictError
from scopebook.fingerprint import fingerprint
from scopebook.settings import settings, use_settings


@pytest.fixture
def other_database(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """An empty database for what is restored."""
    name = f"test_{os.urandom(6).hex()}"
    copy_template(postgres, template, name)
    yield postgres.url(name)
    sessions().kw["bind"].dispose()
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def label_on(factory: Sessions, stop: threading.Event) -> int:
    """Propose labels as an annotator does until told to stop; return how many."""
    count = 0
    while not stop.is_set():
        with unit_of_work(factory) as session:
            sae = session.scalars(select(Sae).order_by(Sae.id).limit(1)).one()
            label = make_label(session, sae, count % 40, f"said {count}", source="person",
                               current=False)  # fmt: skip
            session.flush()
            session.execute(
                text("INSERT INTO label_choice (label_id, chosen_by) VALUES (:id, 'ada')"),
                {"id": label.id},
            )
        count += 1
    return count


def test_a_backup_made_while_all_write_is_of_one_moment_and_its_run_ends_with_the_same_hash(
    worker: Sessions, other_database: str, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path / "files")
    ask_for_collection(worker)
    stop, done = threading.Event(), threading.Event()

    def collect() -> None:
        do_all_steps()
        done.set()

    said: list[int] = []
    writers = [
        threading.Thread(target=lambda: said.append(label_on(worker, stop))),
        threading.Thread(target=collect),
    ]
    for writer in writers:
        writer.start()
    backups = []
    # As many as can be made meanwhile, so that some are of a run under way.
    while not done.is_set() or not backups:
        backups.append(tmp_path / f"backup-{len(backups)}")
        make_backup(worker, backups[-1])
    stop.set()
    for writer in writers:
        writer.join()
    with worker() as session:
        expected = fingerprint(session, RELEASE).fingerprint

    assert said[0] > 0
    chosen = {"database_url": other_database, "data_dir": tmp_path / "other"}
    use_settings(settings().model_copy(update=chosen))
    worker.kw["bind"].dispose()
    sessions.cache_clear()
    restore_backup(sessions(), backups[len(backups) // 2])
    with sessions()() as session:
        named = set(session.scalars(select(Shard.artifact).where(Shard.artifact.is_not(None))))
        kept = {name for run in (1,) for name in list_artifacts(f"runs/{run}")}
        unmatched = session.scalar(
            text(
                "SELECT count(*) FROM label FULL JOIN label_choice c ON c.label_id = label.id"
                " WHERE label.source = 'person' AND c.id IS NULL"
            )
        )
    assert named <= kept
    assert unmatched == 0
    do_all_steps()
    with sessions()() as session:
        assert fingerprint(session, RELEASE).fingerprint == expected


def test_files_that_a_snapshot_names_are_removed_after_they_were_copied(
    worker: Sessions,
) -> None:
    looked = threading.Event()
    removed: list[str] = []

    def remove() -> None:
        with removing(worker, looked.set):
            removed.append("removed")

    with keeping(worker):
        remover = threading.Thread(target=remove)
        remover.start()
        assert looked.wait(30)
        assert removed == []
    remover.join()
    assert removed == ["removed"]


def test_who_waits_for_a_backup_can_be_told_to_stop(worker: Sessions) -> None:
    def stop() -> None:
        raise ConflictError("stopped")

    with keeping(worker), pytest.raises(ConflictError, match="stopped"), removing(worker, stop):
        pass


def test_a_collection_is_tidied_after_the_backup_that_copies_it(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    run = ask_for_collection(worker)
    collecting = threading.Thread(target=do_all_steps)

    with keeping(worker):
        collecting.start()
        collecting.join(5)
        while True:
            with worker() as session:
                shards = session.scalars(select(Shard.artifact)).all()
                tidying = session.scalar(
                    text("SELECT count(*) FROM step WHERE kind = 'run.tidy' AND state = 'running'")
                )
            if tidying and not any(shards):
                break
        assert len(list_artifacts(f"runs/{run}")) > len(shards)
    collecting.join()

    assert not [name for name in list_artifacts(f"runs/{run}") if "shard" in name]
