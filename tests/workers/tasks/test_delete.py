"""A corpus or a scan that was deleted has left no word of it, and what people said is there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import LargeBinary, func, select, text, update
from sqlalchemy.orm import Session
from tests.tiny_collections import (
    RELEASE,
    SMALL,
    TEXTS,
    do_all_steps,
    make_tiny,
)
from tests.tiny_scans import ask_for_scan, do_scan_steps

from conftest import _administer, copy_template
from makers import make_corpus, make_label, make_score
from scopebook.accounts import local_actor
from scopebook.artifact_holds import keeping
from scopebook.artifacts import list_artifacts, write_artifact
from scopebook.db.account_tables import AuditEntry
from scopebook.db.answer_tables import KeptAnswer
from scopebook.db.base import Base
from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Label, Labeling, Sense
from scopebook.db.map_tables import FeatureMap
from scopebook.db.review_tables import Review
from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions, sessions, unit_of_work
from scopebook.db.tables import Corpus, Document, Run, Sae
from scopebook.db.webhook_tables import Webhook, WebhookDelivery
from scopebook.deletion_preview import preview_corpus, preview_scan
from scopebook.deletion_rows import GONE
from scopebook.deletions import request_corpus_deletion, request_scan_deletion
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.entries import refresh_saes
from scopebook.errors import ConflictError, NotFoundError
from scopebook.feature_writes import open_write
from scopebook.histories import undo_change
from scopebook.jobs import DELETE_FILES, DELETE_ROWS, LABEL_SAE
from scopebook.reviews import propose_label
from scopebook.run_reports import use_run
from scopebook.runs import request_collection
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import cancel_job
from scopebook_workers.claims import work_off

#: Stands in every document, so that it is what keywords are made of.
PLANTED = "zyxquux"
SECRET = [(f"{PLANTED} {words} {PLANTED}", tag) for words, tag in TEXTS if words.strip()]


def collect(factory: Sessions, corpus: str) -> int:
    """Collect a corpus and label what fires by keywords; return the run."""
    with unit_of_work(factory) as session:
        job = request_collection(session, RELEASE, corpus, anew=True)
        run = session.scalars(select(Run).where(Run.job_id == job.id)).one()
        run.parameters = run.parameters | SMALL
        run_id = run.id
    do_all_steps()
    work_off(LABEL_SAE)
    with unit_of_work(factory) as session:
        # What is left is to embed the labels, which takes a model.
        session.execute(update(Step).where(Step.job_id == job.id).values(state="done"))
        session.execute(update(Job).where(Job.id == job.id).values(state="done"))
    return run_id


def ask(factory: Sessions, name: str) -> int:
    with unit_of_work(factory) as session:
        return request_corpus_deletion(session, name, by=local_actor(session))


def delete_it() -> None:
    work_off(DELETE_ROWS)
    work_off(DELETE_FILES)


def found_in_rows(session: Session, word: str) -> set[str]:
    """Return every column of every table in which the word stands."""
    found = set()
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            where = f'strpos(lower(CAST("{column.name}" AS text)), :word) > 0'
            if isinstance(column.type, LargeBinary):
                where = f"""position(convert_to(:word, 'UTF8') IN "{column.name}") > 0"""
            asked = text(f'SELECT count(*) FROM "{table.name}" WHERE {where}')
            if session.scalar(asked, {"word": word}):
                found.add(f"{table.name}.{column.name}")
    return found


def found_in_files(word: str) -> set[str]:
    folder = Path(settings().artifacts)
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    }


@contextmanager
def working_on(url: str, folder: Path) -> Iterator[Sessions]:
    """Point this process at a database and a folder for artifacts."""
    before = settings()
    use_settings(Settings(database_url=url, data_dir=folder, broker_url=None))
    sessions.cache_clear()
    yield sessions()
    sessions().kw["bind"].dispose()
    use_settings(before)
    sessions.cache_clear()


@pytest.fixture(scope="module")
def collected(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A database and a folder of what was collected over the planted texts, to be copied."""
    folder, name = tmp_path_factory.mktemp("collected"), "planted"
    copy_template(postgres, template, name)
    with working_on(postgres.url(name), folder) as factory:
        make_tiny(factory, folder / "files", SECRET)
        collect(factory, "tiny")
        with unit_of_work(factory) as session:
            # The tiny vocabulary cuts words into letters; of others whole words become keywords.
            for statement in (
                f"UPDATE label SET text = text || ' {PLANTED}'",
                f"UPDATE sense SET keywords = array_append(keywords, '{PLANTED}')",
            ):
                session.execute(text(statement))
            refresh_saes(session, session.scalars(select(Sae.id)).all())
    yield name, folder
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def planted(
    collected: tuple[str, Path], postgres: EmbeddedPostgres, tmp_path: Path
) -> Iterator[Sessions]:
    """A dictionary that was collected over the planted texts alone."""
    name = f"test_{os.urandom(6).hex()}"
    copy_template(postgres, collected[0], name)
    shutil.copytree(collected[1] / "artifacts", tmp_path / "artifacts")
    with working_on(postgres.url(name), tmp_path) as factory:
        use_settings(settings().model_copy(update={"context_tokens": 16}))
        yield factory
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def repeat_everywhere(session: Session) -> None:
    """Let maps, webhooks and kept answers repeat a label, as their code does."""
    label = session.scalars(select(Label).where(Label.current).order_by(Label.id)).first()
    assert label is not None
    assert PLANTED in label.text
    sae = session.get_one(Sae, label.sae_id)
    hook = Webhook(account_id=1, url="https://x.example", events=["label.accepted"], secret="s")
    embedder = session.execute(
        text(
            "INSERT INTO embedder (name, sha256, dimension) VALUES ('e', repeat('e', 64), 2)"
            " RETURNING id"
        )
    ).scalar_one()
    session.add(hook)
    session.flush()
    told = {"label": {"id": label.id, "text": label.text}}
    name = write_artifact(
        f"maps/release{sae.release_id}-job1-1.bin",
        lambda file: file.write(label.text.encode()) and None,
    )
    session.add_all(
        [
            WebhookDelivery(webhook_id=hook.id, event="label.accepted", payload=told),
            KeptAnswer(
                account_id=1,
                key="k",
                request="POST /api/reviews",
                request_sha256=b"r",
                status=200,
                headers={},
                body=json.dumps(told).encode(),
            ),
            FeatureMap(
                release_id=sae.release_id,
                embedder_id=embedder,
                layers=[sae.layer],
                labels_state="1",
                parameters={},
                regions=[{"name": label.text}],
                points=1,
                artifact=name,
            ),
        ]
    )


def test_no_word_of_a_deleted_corpus_is_left_in_any_table_or_file(planted: Sessions) -> None:
    ask_for_scan(planted, [{"text": f"{PLANTED} ran to the mat {i}"} for i in range(3)])
    ask_for_scan(planted, "tiny")
    do_scan_steps()
    with unit_of_work(planted) as session:
        repeat_everywhere(session)
    with planted() as session:
        before = found_in_rows(session, PLANTED)
        told = preview_corpus(session, "tiny")
    # The test means something: these places do hold it.
    assert {
        *("document.text", "label.text", "sense.keywords", "feature_entry.words"),
        *("webhook_delivery.payload", "kept_answer.body", "map.regions", "label_word.word"),
        "scan.summary",
    } <= before
    assert any(name.startswith("maps/") for name in found_in_files(PLANTED))

    job_id = ask(planted, "tiny")
    delete_it()

    with planted() as session:
        assert session.get_one(Job, job_id).state == "done", session.get_one(Job, job_id).error
        assert found_in_rows(session, PLANTED) == set()
        assert not session.scalars(select(Corpus)).all()
        assert session.scalars(select(Sae.current_run_id)).all() == [None, None]
        # Nothing else is left of it either.
        for table in ("evidence", "context", "run", "shard", "panel", "labeling", "scan", "map"):
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
        assert session.scalars(select(Job.kind)).all() == ["delete"]
        assert session.scalars(select(KeptAnswer.status)).one() == 410
        [entry] = session.scalars(select(AuditEntry).where(AuditEntry.target == "tiny"))
        assert entry.action == "deleted a corpus"
    assert found_in_files(PLANTED) == set()
    assert [name for run in (1, 2) for name in list_artifacts(f"runs/{run}")] == []
    assert told.documents == len(SECRET) + 3  # of the scan, whose report quotes labels
    assert told.labels > 0
    assert told.evidence > 0
    assert told.maps == 1
    assert len(told.scans) == 2
    assert told.files > 0
    assert told.file_bytes > 0


def test_what_people_said_stays_without_the_words_of_machines(planted: Sessions) -> None:
    with unit_of_work(planted) as session:
        label = session.scalars(
            select(Label).where(Label.current, Label.sense_id.is_(None)).order_by(Label.id)
        ).first()
        assert label is not None
        sense = session.scalars(select(Sense).where(Sense.feature_id == label.feature_id)).first()
        assert sense is not None
        sae = session.get_one(Sae, label.sae_id)
        index = label.feature_id & 0xFFFFF
        ours = make_label(session, sae, index, "ours of all", source="person", current=False)
        part = make_label(
            session, sae, index, "ours of it", source="person", sense_id=sense.id, current=False
        )
        session.flush()
        for one, reason in ((label, "as I see it"), (ours, "mine")):
            session.add(
                Review(
                    feature_id=label.feature_id,
                    label_id=one.id,
                    account_id=1,
                    verdict="accept",
                    reason=reason,
                    counts=True,
                )
            )
        make_score(session, label, 0.9)
        # The history keeps which wording a proposal came after, also in the undo of it.
        write = open_write(session, local_actor(session), label.feature_id, None)
        _, change = propose_label(session, write, "ours after it", supersedes_id=label.id)
        write = open_write(session, local_actor(session), label.feature_id, change.version)
        undo_change(session, write, change.id)
        label_id, ours_id, part_id = label.id, ours.id, part.id
    with planted() as session:
        told = preview_corpus(session, "tiny")
        assert {"change.before", "change.after"} <= found_in_rows(session, PLANTED)

    ask(planted, "tiny")
    delete_it()

    with planted() as session:
        label = session.get_one(Label, label_id)
        assert (label.text, label.status, label.current) == (GONE, "gone", False)
        reasons = session.scalars(select(Review.reason).order_by(Review.id)).all()
        # The last two are those of the proposal and of its undo.
        assert reasons == ["as I see it", "mine", None, None]
        ours, part = session.get_one(Label, ours_id), session.get_one(Label, part_id)
        assert (ours.text, ours.status, ours.current) == ("ours of all", "ok", True)
        assert (part.text, part.status, part.current) == ("ours of it", "gone", False)
        assert session.scalar(text("SELECT count(*) FROM label_score")) == 0
        assert found_in_rows(session, PLANTED) == set()
    assert (told.spoken_of, told.people) == (1, 1)


def test_another_corpus_stays_whole_and_is_shown_instead(planted: Sessions) -> None:
    with unit_of_work(planted) as session:
        make_corpus(session, [words for words, _ in TEXTS if words.strip()], name="other")
    other = collect(planted, "other")
    with unit_of_work(planted) as session:
        assert use_run(session, 1).shown == [1, 3]
        kept = session.scalar(
            select(func.count()).select_from(Label).join(Labeling).where(Labeling.run_id == other)
        )

    ask(planted, "tiny")
    delete_it()

    with planted() as session:
        assert session.scalars(select(Run.id)).all() == [other]
        assert set(session.scalars(select(Sae.current_run_id))) == {other}
        assert session.scalar(select(func.count()).select_from(Label)) == kept
        assert session.scalar(select(func.count()).where(Label.current)) > 0
        assert found_in_rows(session, PLANTED) == set()
    assert list_artifacts(f"runs/{other}") != []


def test_a_scan_goes_with_its_text_unless_another_scan_or_a_person_has_it(
    planted: Sessions,
) -> None:
    texts = [{"text": f"{PLANTED} qqvvx {i}"} for i in range(3)]
    first, second = ask_for_scan(planted, texts), ask_for_scan(planted, texts)
    registered = ask_for_scan(planted, "tiny")
    do_scan_steps()

    def delete_scan(scan_id: int) -> None:
        with unit_of_work(planted) as session:
            request_scan_deletion(session, scan_id, by=local_actor(session))
        delete_it()

    with planted() as session:
        assert preview_scan(session, first).documents == 0
    delete_scan(first)
    with planted() as session:
        assert "document.text" in found_in_rows(session, "qqvvx")
        assert preview_scan(session, second).documents == 3
    delete_scan(second)
    delete_scan(registered)

    with planted() as session:
        assert found_in_rows(session, "qqvvx") == set()
        assert session.scalars(select(Scan.id)).all() == []
        assert session.scalars(select(Corpus.name)).all() == ["tiny"]
        assert session.scalar(select(func.count()).select_from(Run)) == 1
        with pytest.raises(NotFoundError, match=f"no scan {first}"):
            request_scan_deletion(session, first, by=local_actor(session))
    assert list_artifacts(f"scans/{first}") == list_artifacts(f"scans/{second}") == []


def test_what_a_job_uses_is_not_deleted_and_the_job_is_named(planted: Sessions) -> None:
    scan_id = ask_for_scan(planted, "tiny")
    with planted() as session:
        job_id = session.get_one(Scan, scan_id).job_id

    with pytest.raises(ConflictError, match=f"cancel it first: `scopebook jobs cancel {job_id}`"):
        ask(planted, "tiny")

    with unit_of_work(planted) as session:
        assert session.scalars(select(Corpus.deletion_job_id)).all() == [None]
        cancel_job(session, job_id)
    ask(planted, "tiny")
    with unit_of_work(planted) as session, pytest.raises(ConflictError, match="is being deleted"):
        request_collection(session, RELEASE, "tiny")
    delete_it()
    with planted() as session:
        assert found_in_rows(session, PLANTED) == set()


def test_of_two_who_delete_at_once_one_is_told_which_job_does_it(planted: Sessions) -> None:
    said: list[str] = []
    start = threading.Barrier(2)

    def delete() -> None:
        start.wait()
        try:
            said.append(f"job {ask(planted, 'tiny')}")
        except ConflictError as refusal:
            said.append(str(refusal))

    threads = [threading.Thread(target=delete) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    won, lost = sorted(said, key=len)
    assert won in lost
    assert "is being deleted already" in lost
    delete_it()
    with pytest.raises(NotFoundError, match="no corpus 'tiny'"):
        ask(planted, "tiny")


#: A worker that is killed between two transactions: after so many of them.
_KILLED = """
import os, signal, sys
from scopebook.settings import Settings, use_settings
use_settings(Settings(database_url=sys.argv[1], data_dir=sys.argv[2], lease_s=0.2))
from scopebook_workers import claims
from scopebook_workers.tasks import delete
left = [int(sys.argv[3])]
def counted(name):
    real = getattr(delete, name)
    def call(*args):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    setattr(delete, name, call)
for name in ("show_another", "forget_features", "forget_heads", "forget_texts", "forget_echoes",
             "remove_artifact"):
    counted(name)
claims.work_off("rows.delete")
claims.work_off("files.delete")
"""


@pytest.mark.parametrize("after", [3, 7, 11])
def test_a_deletion_whose_worker_is_killed_ends_by_the_next_one(
    planted: Sessions, after: int
) -> None:
    job_id = ask(planted, "tiny")
    url = settings().database_url
    assert url is not None
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, url, str(settings().data_dir), str(after)], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    time.sleep(0.25)  # the lease

    delete_it()

    with planted() as session:
        assert session.get_one(Job, job_id).state == "done"
        assert found_in_rows(session, PLANTED) == set()
        assert session.scalars(select(Document.id)).all() == []
    assert found_in_files(PLANTED) == set()
    assert list_artifacts("runs/1") == []


def test_a_deletion_that_was_cancelled_goes_on_when_it_is_asked_again(planted: Sessions) -> None:
    job_id = ask(planted, "tiny")
    with unit_of_work(planted) as session:
        cancel_job(session, job_id)

    assert ask(planted, "tiny") == job_id
    delete_it()

    with planted() as session:
        assert session.scalars(select(Corpus.id)).all() == []


def test_files_wait_for_a_backup_that_copies_them(planted: Sessions) -> None:
    ask(planted, "tiny")
    work_off(DELETE_ROWS)
    files = list_artifacts("runs/1")
    assert files

    with keeping(planted):
        waiting = threading.Thread(target=work_off, args=[DELETE_FILES])
        waiting.start()
        time.sleep(0.3)
        assert list_artifacts("runs/1") == files
    waiting.join()

    assert list_artifacts("runs/1") == []
