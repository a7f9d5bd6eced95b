"""How long jobs were worked on: pauses, retries and dead workers count nothing."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.job_reports import read_job
from scopebook.job_times import WorkTime, read_work_times
from scopebook.jobs import COLLECT_SHARD
from scopebook.steps import NewStep, cancel_job, create_job, retry_job


def make_job(session: Session, steps: int) -> Job:
    """Create a job of so many steps, named by their number."""
    titles = [
        NewStep(kind=COLLECT_SHARD, stage=0, title=str(number), total=10) for number in range(steps)
    ]
    return create_job(session, "collect", "Collect", titles)


def work(
    session: Session, job: Job, title: int, begun: float, ended: float | None, state: str = "done"
) -> None:
    """Let a step have been worked on; times are seconds before now."""
    session.execute(
        text(
            "UPDATE step SET state = :state, attempt = 1,"
            " claimed_at = now() - make_interval(secs => :begun),"
            " started_at = now() - make_interval(secs => :begun),"
            " finished_at = now() - make_interval(secs => :ended)"
            " WHERE job_id = :job AND title = :title"
        ),
        {"state": state, "begun": begun, "ended": ended, "job": job.id, "title": str(title)},
    )


def lease(session: Session, job: Job, title: int, seconds: float) -> None:
    """Let a step's lease end so many seconds from now."""
    session.execute(
        text(
            "UPDATE step SET lease_until = now() + make_interval(secs => :seconds)"
            " WHERE job_id = :job AND title = :title"
        ),
        {"seconds": seconds, "job": job.id, "title": str(title)},
    )


def time_of(session: Session, job: Job) -> WorkTime:
    return read_work_times(session, [job.id])[job.id]


def test_time_of_several_workers_counts_once_and_pauses_not_at_all(session: Session) -> None:
    job = make_job(session, 4)
    work(session, job, 0, 9000, 8990)
    work(session, job, 1, 8995, 8985)
    work(session, job, 2, 8994, 8993)
    work(session, job, 3, 20, 10, "failed")

    assert time_of(session, job) == WorkTime(seconds=25.0)


def test_what_is_worked_on_now_counts_from_where_its_work_began(session: Session) -> None:
    job = make_job(session, 3)
    work(session, job, 0, 9000, 8990)
    work(session, job, 1, 30, 5)
    work(session, job, 2, 10, None, "running")
    lease(session, job, 2, 60)

    report = read_job(session, job.id)

    assert report.worked_s == pytest.approx(10)
    assert report.working_since is not None
    now = session.scalars(text("SELECT now()").columns()).one()
    assert (now - report.working_since).total_seconds() == pytest.approx(30)


def test_a_worker_that_died_counts_until_its_lease_ended(session: Session) -> None:
    job = make_job(session, 1)
    work(session, job, 0, 9000, None, "running")
    lease(session, job, 0, -8000)

    assert time_of(session, job) == WorkTime(seconds=1000.0)


def test_a_retried_job_does_not_count_the_time_it_lay_idle(session: Session) -> None:
    job = make_job(session, 2)
    work(session, job, 0, 9000, 8990)
    work(session, job, 1, 8990, 8980, "failed")
    session.execute(text("UPDATE job SET state = 'failed' WHERE id = :id"), {"id": job.id})
    before = time_of(session, job)

    retry_job(session, job.id)
    waiting = time_of(session, job)
    cancel_job(session, job.id)

    assert before == WorkTime(seconds=20.0)
    assert waiting == time_of(session, job) == WorkTime(seconds=10.0)


def test_a_job_that_nobody_has_begun_has_no_time(session: Session) -> None:
    report = read_job(session, make_job(session, 2).id)

    assert (report.worked_s, report.working_since) == (0.0, None)
