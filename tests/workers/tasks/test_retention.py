"""What is older than it may get goes, some at a time, and what is in use stays."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from makers import make_corpus, make_release, make_run, make_scan
from scopebook.accounts import local_actor
from scopebook.db.account_tables import AuditEntry
from scopebook.db.jobs import Job, Step
from scopebook.db.scan_tables import Scan
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Corpus, Document
from scopebook.db.worker_tables import Meter
from scopebook.deletions import request_corpus_deletion
from scopebook.jobs import DELETE_FILES, DELETE_ROWS
from scopebook.retention import Retention, remove_old
from scopebook.settings import settings, use_settings
from scopebook.steps import NewStep, cancel_job, create_job
from scopebook_workers.claims import work_off


def make_old(factory: Sessions) -> None:
    """Add two scans of texts of their own, one of which is over for ten days, and two old jobs."""
    with unit_of_work(factory) as session:
        [sae] = make_release(session, layers=[1])
        run = make_run(session, [sae], make_corpus(session, ["text"]))
        for name in ("old", "new"):
            [document] = make_corpus(session, [f"words {name}"], name=name)
            make_scan(session, sae.release_id, document.corpus_id)
        create_job(session, "map", "Map", [NewStep(kind="release.map", stage=0, title="Draw")])
        session.flush()
        days = func.now() - timedelta(days=10)
        session.execute(update(Job).values(state="done", finished_at=func.now()))
        old = select(Scan.job_id).order_by(Scan.id).limit(1).scalar_subquery()
        session.execute(
            update(Job)
            .where((Job.id == old) | (Job.id == run.job_id) | (Job.kind == "map"))
            .values(finished_at=days)
        )


def test_by_default_nothing_is_removed(worker: Sessions) -> None:
    make_old(worker)

    assert remove_old(worker) == {}


def test_old_scans_are_deleted_and_jobs_with_nothing_left_forgotten(
    worker: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    make_old(worker)
    use_settings(settings().model_copy(update={"keep_scans_days": 7, "keep_jobs_days": 7}))

    with caplog.at_level("INFO"):
        Retention().look(worker)
    work_off(DELETE_ROWS)
    work_off(DELETE_FILES)

    assert "Removed 1 scans that were too old" in caplog.text
    with worker() as session:
        assert session.scalars(select(Corpus.name).order_by(Corpus.id)).all() == ["tiny", "new"]
        assert session.scalars(select(Document.text).order_by(Document.id)).all() == [
            "text",
            "words new",
        ]
        # The run is there, so the job that made it is; nothing names the map's any more.
        kinds = session.scalars(select(Job.kind).order_by(Job.id)).all()
        assert kinds == ["test", "scan", "delete"]
        assert session.scalar(select(func.count()).where(Step.kind == "release.map")) == 0
        counted = {
            row.labels["kind"]: row.value
            for row in session.execute(select(Meter.labels, Meter.value))
        }
        assert counted["scans"] == counted["jobs"] == 1
        assert session.scalars(select(AuditEntry.action)).all() == ["deleted a scan"]
    assert remove_old(worker) == {"scans": 0, "jobs": 0}


def stop(factory: Sessions, job_id: int, *, begun: bool) -> None:
    """Cancel a deletion, an hour ago."""
    with unit_of_work(factory) as session:
        if begun:
            session.execute(
                update(Step).where(Step.kind == DELETE_ROWS).values(claimed_at=func.now())
            )
        cancel_job(session, job_id)
        hour = func.now() - timedelta(hours=1)
        session.execute(update(Job).where(Job.id == job_id).values(finished_at=hour))


@pytest.mark.parametrize("begun", [True, False])
def test_a_deletion_that_was_cancelled_ends_or_has_never_been(
    worker: Sessions, begun: bool
) -> None:
    make_old(worker)
    with unit_of_work(worker) as session:
        job_id = request_corpus_deletion(session, "tiny", by=local_actor(session))
    stop(worker, job_id, begun=begun)

    Retention().look(worker)
    work_off(DELETE_ROWS)
    work_off(DELETE_FILES)

    with worker() as session:
        names = session.scalars(select(Corpus.name)).all()
        assert ("tiny" in names) is not begun
        assert session.scalars(select(Corpus.deletion_job_id).distinct()).all() == [None]
        assert session.get_one(Job, job_id).state == ("done" if begun else "cancelled")
