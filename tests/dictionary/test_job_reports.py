"""What people see of long work: rates that survive pauses, and reports that stay small."""

from dataclasses import asdict

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job
from scopebook.job_reports import changing_jobs, list_jobs, list_steps, read_job
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE
from scopebook.steps import NewStep, cancel_job, create_job


def make_job(session: Session, shards: int, *, tokens: int = 1000) -> Job:
    """Create a job of shards of so many tokens, with a merge after them."""
    steps = [
        NewStep(kind=COLLECT_SHARD, stage=2, title=f"Shard {i}", total=tokens, unit="tokens")
        for i in range(shards)
    ]
    return create_job(
        session, "collect", "Collect", [*steps, NewStep(kind=MERGE_SAE, stage=3, title="Merge")]
    )


def put(session: Session, job: Job, title: str, **values: object) -> None:
    """Set a step's columns; times are seconds before now."""
    for name in ("claimed_at", "finished_at", "lease_until"):
        if name in values:
            values[name] = text(f"now() - make_interval(secs => {values[name]})")
    sets = ", ".join(
        f"{name} = {value.text}" if hasattr(value, "text") else f"{name} = :{name}"
        for name, value in values.items()
    )
    session.execute(
        text(f"UPDATE step SET {sets} WHERE job_id = :job AND title = :title"),
        {
            **{k: v for k, v in values.items() if not hasattr(v, "text")},
            "job": job.id,
            "title": title,
        },
    )


def finish(session: Session, job: Job, title: str, begun: float, ended: float) -> None:
    """Let a shard have been read between so many seconds before now."""
    put(session, job, title, state="done", done=1000, claimed_at=begun, finished_at=ended, fence=1)


def run_shard(session: Session, job: Job, title: str, begun: float, done: int) -> None:
    """Let a worker be at a shard."""
    put(
        session,
        job,
        title,
        state="running",
        done=done,
        claimed_at=begun,
        lease_until=-60,
        worker=f"w-{title}",
    )


def test_the_rate_is_that_of_all_workers_together(session: Session) -> None:
    job = make_job(session, 4)
    finish(session, job, "Shard 0", 20, 10)
    finish(session, job, "Shard 1", 20, 10)
    run_shard(session, job, "Shard 2", 10, 500)
    run_shard(session, job, "Shard 3", 10, 500)

    report = read_job(session, job.id)

    assert (report.tokens_done, report.tokens_total) == (3000, 4000)
    assert report.tokens_per_s == pytest.approx(150)
    assert report.seconds_left == pytest.approx(7)


def test_hours_of_pause_count_nowhere(session: Session) -> None:
    job = make_job(session, 4)
    finish(session, job, "Shard 0", 20_020, 20_010)
    # Taken before the pause, taken again after it: its beginning is the later one.
    run_shard(session, job, "Shard 1", 5, 500)

    assert read_job(session, job.id).tokens_per_s == pytest.approx(100)

    finish(session, job, "Shard 1", 10, 0)
    for title in ("Shard 2", "Shard 3"):
        finish(session, job, title, 10, 0)
    session.execute(text("UPDATE job SET state = 'done' WHERE id = :id"), {"id": job.id})
    report = read_job(session, job.id)

    assert report.tokens_per_s == pytest.approx(200)
    assert report.seconds_left is None


def test_a_worker_that_died_reads_nothing(session: Session) -> None:
    job = make_job(session, 2)
    put(
        session,
        job,
        "Shard 0",
        state="running",
        done=900,
        claimed_at=9000,
        lease_until=8000,
        worker="gone",
    )

    report = read_job(session, job.id)

    assert (report.tokens_per_s, report.seconds_left) == (None, None)
    assert [(worker.name, worker.alive) for worker in report.workers] == [("gone", False)]


def test_nothing_is_said_before_anything_was_read(session: Session) -> None:
    planned, other = make_job(session, 2), create_job(session, "test", "Test", [])

    report = read_job(session, planned.id)

    assert (report.tokens_done, report.tokens_total) == (0, 2000)
    assert (report.tokens_per_s, report.seconds_left) == (None, None)
    assert read_job(session, other.id).tokens_done is None


def test_shards_that_have_not_told_their_size_are_estimated(session: Session) -> None:
    job = make_job(session, 4, tokens=0)
    finish(session, job, "Shard 0", 10, 0)
    put(session, job, "Shard 0", total=1000)

    assert read_job(session, job.id).tokens_total == 4000


def test_workers_tell_what_they_do_since_when(session: Session) -> None:
    job = make_job(session, 2)
    run_shard(session, job, "Shard 1", 5, 250)

    (worker,) = read_job(session, job.id).workers

    assert (worker.name, worker.title, worker.alive) == ("w-Shard 1", "Shard 1", True)
    assert worker.detail == "250 of 1,000 tokens"
    assert worker.since is not None


def test_stages_count_their_steps_by_state(session: Session) -> None:
    job = make_job(session, 4)
    finish(session, job, "Shard 0", 10, 0)
    run_shard(session, job, "Shard 1", 5, 500)
    put(session, job, "Shard 3", state="failed", error="It broke.")

    collect, merge = read_job(session, job.id).stages

    assert collect.states == {"done": 1, "running": 1, "queued": 1, "failed": 1}
    assert (collect.steps, collect.kinds) == (4, [COLLECT_SHARD])
    assert collect.progress == pytest.approx(1.5 / 4)
    assert merge.states == {"queued": 1}


def test_what_failed_counts_as_nothing_since_it_begins_anew(session: Session) -> None:
    job = make_job(session, 2)
    put(session, job, "Shard 0", state="failed", done=1000, error="It broke.")
    put(session, job, "Shard 1", state="cancelled", done=500)

    report = read_job(session, job.id)

    assert (report.progress, report.tokens_done) == (0.0, 0)
    assert [step.progress for step in report.steps[:2]] == [0.0, 0.0]
    assert report.steps[0].detail == "1,000 of 1,000 tokens"


def test_the_states_of_shards_come_in_their_order(session: Session) -> None:
    job = make_job(session, 5)
    for title in ("Shard 0", "Shard 1"):
        finish(session, job, title, 10, 0)
    run_shard(session, job, "Shard 2", 5, 1)

    shards = read_job(session, job.id).shards

    assert [(part.state, part.count) for part in shards] == [
        ("done", 2),
        ("running", 1),
        ("queued", 2),
    ]


def test_cancelled_and_cancelling_shards_are_told_apart(session: Session) -> None:
    job = make_job(session, 2)
    run_shard(session, job, "Shard 0", 5, 1)
    cancel_job(session, job.id)

    shards = read_job(session, job.id).shards

    assert [(part.state, part.count) for part in shards] == [("cancelling", 1), ("cancelled", 1)]


@pytest.fixture
def large(session: Session) -> Job:
    """A job of ten thousand shards, half of them done; two run, one failed, one waits."""
    job = make_job(session, 0)
    session.execute(
        text(
            "INSERT INTO step (job_id, stage, kind, title, parameters, state, done, total, unit,"
            " claimed_at, finished_at)"
            " SELECT :job, 2, 'shard.collect', 'Shard ' || i, '{}',"
            " CASE WHEN i < 5000 THEN 'done' ELSE 'queued' END,"
            " CASE WHEN i < 5000 THEN 1000 ELSE 0 END, 1000, 'tokens',"
            " now() - make_interval(secs => 5002 - i),"
            " CASE WHEN i < 5000 THEN now() - make_interval(secs => 5001 - i) END"
            " FROM generate_series(0, 9999) AS i"
        ),
        {"job": job.id},
    )
    run_shard(session, job, "Shard 5000", 2, 500)
    run_shard(session, job, "Shard 5001", 2, 500)
    put(session, job, "Shard 9998", state="failed", error="It broke.", attempt=3)
    put(session, job, "Shard 9999", error="It broke once.", attempt=1)
    return job


def test_a_report_of_ten_thousand_shards_stays_small(session: Session, large: Job) -> None:
    streamed = read_job(session, large.id, others=0)
    whole = read_job(session, large.id)

    assert [step.title for step in streamed.steps] == [
        "Shard 5000",
        "Shard 5001",
        "Shard 9998",
        "Shard 9999",
    ]
    assert len(str(asdict(streamed))) < 5000
    assert len(whole.steps) == 200
    assert {step.id for step in streamed.steps} <= {step.id for step in whole.steps}
    assert whole.steps_total == 10_001
    assert sum(part.count for part in whole.shards) == 10_000
    assert whole.tokens_done == 5_001_000


def test_a_list_of_jobs_loads_no_steps(session: Session, large: Job) -> None:
    session.expire_all()
    rows: list[int] = []
    connection = session.connection()
    event.listen(
        connection,
        "after_cursor_execute",
        lambda _c, cursor, *_: rows.append(cursor.rowcount),
    )

    (report,), _ = list_jobs(session)

    assert report.id == large.id
    assert sum(rows) < 20
    assert report.steps == []
    assert report.tokens_per_s is not None


def test_steps_page_without_gaps_and_by_state(session: Session, large: Job) -> None:
    first, cursor = list_steps(session, large.id, state="done", limit=200)
    second, _ = list_steps(session, large.id, state="done", limit=200, cursor=cursor)
    failed, end = list_steps(session, large.id, state="failed")
    merges, _ = list_steps(session, large.id, stage=3)

    assert [step.title for step in first + second] == [f"Shard {i}" for i in range(400)]
    assert ([step.error for step in failed], end) == (["It broke."], None)
    assert [step.title for step in merges] == ["Merge"]


def test_a_stream_looks_only_at_jobs_that_may_change(session: Session) -> None:
    over, running = make_job(session, 1), make_job(session, 1)
    cancel_job(session, over.id)

    assert [job.id for job in changing_jobs(session, set())] == [running.id, over.id]
    assert [job.id for job in changing_jobs(session, {over.id})] == [running.id]
    assert [job.id for job in changing_jobs(session, {over.id, running.id})] == [running.id]
