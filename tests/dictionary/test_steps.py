"""Jobs and steps: claimed once, ended once, in order of their stages."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions
from scopebook.errors import ConflictError, NotFoundError
from scopebook.job_reports import list_jobs, read_job
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE
from scopebook.steps import (
    Claim,
    LostClaimError,
    NewStep,
    cancel_job,
    claim_step,
    create_job,
    due_kinds,
    fail_step,
    finish_step,
    release_step,
    renew_step,
    retry_job,
    settle_cancelled,
)


def shard(number: int = 0, *, stage: int = 0) -> NewStep:
    return NewStep(kind=COLLECT_SHARD, stage=stage, title=f"Shard {number}")


MERGE = NewStep(kind=MERGE_SAE, stage=1, title="Merge")


def claim(session: Session, kind: str = COLLECT_SHARD, *, lease_s: float = 60) -> Claim | None:
    return claim_step(session, kind, worker="w", lease_s=lease_s, max_attempts=3)


def expire_leases(session: Session) -> None:
    session.execute(text("UPDATE step SET lease_until = now() - interval '1 second'"))


def test_a_step_is_claimed_once(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])

    first, second = claim(session), claim(session)

    assert first is not None
    assert second is None


def test_two_workers_never_get_the_same_step(sessions: Sessions) -> None:
    with sessions.begin() as session:
        create_job(session, "test", "Test", [shard(i) for i in range(20)])
    taken: list[int] = []

    def work() -> None:
        while True:
            with sessions.begin() as session:
                got = claim(session)
            if got is None:
                return
            taken.append(got.step_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken)) == 20


def test_a_stage_waits_for_the_one_before_it(session: Session) -> None:
    create_job(session, "test", "Test", [shard(), MERGE])

    early = claim(session, MERGE_SAE)
    held = claim(session)
    assert held is not None
    finish_step(session, held)

    assert early is None
    assert claim(session, MERGE_SAE) is not None


def test_a_job_is_done_when_its_last_step_is(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    held = claim(session)
    assert held is not None

    finish_step(session, held, [MERGE])
    halfway = read_job(session, job.id).state
    merge = claim(session, MERGE_SAE)
    assert merge is not None
    finish_step(session, merge)

    assert halfway == "running"
    assert read_job(session, job.id).state == "done"


def test_two_last_steps_that_end_at_once_end_the_job(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = create_job(session, "test", "Test", [shard(1), shard(2)])
    claims = []
    for _ in range(2):
        with sessions.begin() as session:
            claims.append(claim(session))

    def end(held: Claim | None) -> None:
        assert held is not None
        with sessions.begin() as session:
            finish_step(session, held)

    threads = [threading.Thread(target=end, args=[held]) for held in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with sessions.begin() as session:
        assert read_job(session, job.id).state == "done"


def test_an_expired_lease_gives_the_step_to_another_worker(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    first = claim(session)
    expire_leases(session)

    second = claim(session)

    assert first is not None
    assert second is not None
    assert (second.step_id, second.attempt) == (first.step_id, first.attempt + 1)


def test_each_attempt_counts_from_its_own_beginning(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = create_job(session, "test", "Test", [shard()])
    with sessions.begin() as session:
        claim(session)
    with sessions.begin() as session:
        expire_leases(session)
    with sessions.begin() as session:
        claim(session)

    with sessions.begin() as session:
        (step,) = read_job(session, job.id).steps

    assert step.claimed_at is not None
    assert step.started_at is not None
    assert step.claimed_at > step.started_at


def test_a_worker_taken_for_dead_cannot_end_its_step(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    first = claim(session)
    expire_leases(session)
    claim(session)
    assert first is not None

    with pytest.raises(LostClaimError):
        finish_step(session, first)
    with pytest.raises(LostClaimError):
        renew_step(session, first, lease_s=60)


def test_a_step_whose_workers_keep_dying_fails_its_job(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    for _ in range(3):
        claim(session)
        expire_leases(session)

    again = claim(session)

    report = read_job(session, job.id)
    assert again is None
    assert report.state == "failed"
    assert "died 3 times" in (report.error or "")


def test_a_failed_step_fails_its_job_with_its_sentence(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(), MERGE])
    held = claim(session)
    assert held is not None

    fail_step(session, held, "The disk is full.", again=False)

    report = read_job(session, job.id)
    assert (report.state, report.error) == ("failed", "The disk is full.")
    assert due_kinds(session) == {}


def test_a_step_given_back_is_due_again(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    held = claim(session)
    assert held is not None

    fail_step(session, held, "A hiccup.", again=True)

    assert due_kinds(session) == {COLLECT_SHARD: 1}


def test_a_retry_does_only_what_is_not_done(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2)])
    done, failed = claim(session), claim(session)
    assert done is not None
    assert failed is not None
    finish_step(session, done)
    fail_step(session, failed, "No.", again=False)

    retry_job(session, job.id)

    again = claim(session)
    assert again is not None
    assert again.step_id == failed.step_id
    assert claim(session) is None


def test_a_cancelled_job_stops_its_running_step(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2)])
    held = claim(session)
    assert held is not None

    cancel_job(session, job.id)

    with pytest.raises(LostClaimError):
        renew_step(session, held, lease_s=60)
    release_step(session, held)
    assert read_job(session, job.id).state == "cancelled"
    assert claim(session) is None


def test_a_cancelled_step_of_a_dead_worker_is_settled(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    claim(session)
    cancel_job(session, job.id)
    expire_leases(session)

    settle_cancelled(session)

    assert read_job(session, job.id).state == "cancelled"


def test_a_finished_job_cannot_be_cancelled_or_retried(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    held = claim(session)
    assert held is not None
    finish_step(session, held)

    with pytest.raises(ConflictError, match="is over"):
        cancel_job(session, job.id)
    with pytest.raises(ConflictError, match="only a failed or cancelled job"):
        retry_job(session, job.id)


def test_progress_is_the_mean_over_stages(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2), MERGE])
    done, half = claim(session), claim(session)
    assert done is not None
    assert half is not None
    finish_step(session, done)
    renew_step(session, half, lease_s=60, done=50, total=100, unit="tokens")

    report = read_job(session, job.id)

    assert report.progress == pytest.approx(0.375)
    assert report.detail == "Shard 2: 50 of 100 tokens"


def test_jobs_page_from_new_to_old_without_gaps(session: Session) -> None:
    made = [create_job(session, "test", f"Job {i}", [shard()]).id for i in range(5)]

    first, cursor = list_jobs(session, limit=3)
    second, end = list_jobs(session, limit=3, cursor=cursor)

    assert [job.id for job in first + second] == made[::-1]
    assert end is None


def test_an_unknown_job_is_named(session: Session) -> None:
    with pytest.raises(NotFoundError, match="no job 12345"):
        read_job(session, 12345)


def test_a_rolled_back_job_leaves_no_step(sessions: Sessions) -> None:
    with sessions() as session:
        create_job(session, "test", "Test", [shard()])
        session.rollback()

    with sessions.begin() as session:
        assert session.query(Job).count() == session.query(Step).count() == 0


def test_a_step_that_fails_while_its_job_is_cancelled_ends_the_job(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    held = claim(session)
    assert held is not None
    cancel_job(session, job.id)

    fail_step(session, held, "A hiccup.", again=True)

    assert read_job(session, job.id).state == "cancelled"


def test_a_step_given_up_after_a_retry_is_done_again(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2)])
    failing, slow = claim(session), claim(session)
    assert failing is not None
    assert slow is not None
    fail_step(session, failing, "No.", again=False)
    retry_job(session, job.id)

    release_step(session, slow)

    first, second = claim(session), claim(session)
    assert first is not None
    assert second is not None
    finish_step(session, first)
    finish_step(session, second)
    assert read_job(session, job.id).state == "done"
