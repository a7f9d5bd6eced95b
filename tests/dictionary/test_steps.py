"""Jobs and steps: claimed once, ended once, in order of their stages."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions
from scopebook.due_steps import due_kinds
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError, ScopebookError
from scopebook.job_ends import job_error, kind_of
from scopebook.job_reports import list_jobs, read_job
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, TEST_PRESET
from scopebook.steps import (
    Claim,
    LostClaimError,
    NewStep,
    cancel_job,
    claim_step,
    create_job,
    fail_step,
    finish_step,
    release_step,
    renew_step,
    retry_job,
    settle_cancelled,
    was_finished,
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
    assert due_kinds(session, at_most=8) == {}


def test_a_step_given_back_is_due_again(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    held = claim(session)
    assert held is not None

    fail_step(session, held, "A hiccup.", again=True)

    assert due_kinds(session, at_most=8) == {COLLECT_SHARD: 1}


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


def held(session: Session, kind: str = COLLECT_SHARD) -> Claim:
    """Return a claim that must be there."""
    got = claim(session, kind)
    assert got is not None
    return got


def test_the_other_steps_of_a_stage_go_on_when_one_fails(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(i) for i in range(3)] + [MERGE])

    fail_step(session, held(session), "The disk is full.", again=False)
    after_the_first = read_job(session, job.id)
    finish_step(session, held(session))
    finish_step(session, held(session))

    report = read_job(session, job.id)
    assert (after_the_first.state, after_the_first.error) == ("running", None)
    assert (report.state, report.error) == ("failed", "The disk is full.")
    assert [step.state for step in report.steps] == ["failed", "done", "done", "queued"]
    assert claim(session, MERGE_SAE) is None


def test_a_job_tells_its_first_failure_and_how_many_there_were(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(i) for i in range(3)])

    for sentence in ("The disk is full.", "The disk is away."):
        fail_step(session, held(session), sentence, again=False)
    finish_step(session, held(session))

    report = read_job(session, job.id)
    assert report.error == (
        "The disk is full. (2 of 3 shards failed; a retry does only these again.)"
    )
    assert [step.error for step in report.steps] == ["The disk is full.", "The disk is away.", None]


def test_a_step_that_fails_last_of_all_ends_its_job(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2)])
    first, second = held(session), held(session)

    finish_step(session, first)
    fail_step(session, second, "No.", again=False)

    assert read_job(session, job.id).state == "failed"


def test_two_steps_that_fail_at_once_fail_the_job(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = create_job(session, "test", "Test", [shard(1), shard(2)])
        claims = [held(session), held(session)]

    def fail(lost: Claim) -> None:
        with sessions.begin() as session:
            fail_step(session, lost, "No.", again=False)

    threads = [threading.Thread(target=fail, args=[lost]) for lost in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with sessions.begin() as session:
        assert read_job(session, job.id).state == "failed"


def test_a_retry_lets_the_later_stages_follow(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2), MERGE])
    fail_step(session, held(session), "No.", again=False)
    finish_step(session, held(session))

    retry_job(session, job.id)
    finish_step(session, held(session))
    finish_step(session, held(session, MERGE_SAE))

    report = read_job(session, job.id)
    assert (report.state, report.error) == ("done", None)


def test_a_cancelled_job_keeps_what_is_done_and_goes_on_after_a_retry(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(i) for i in range(3)])
    finish_step(session, held(session))
    running = held(session)

    cancel_job(session, job.id)
    release_step(session, running)
    cancelled = [step.state for step in read_job(session, job.id).steps]
    retry_job(session, job.id)
    finish_step(session, held(session))
    finish_step(session, held(session))

    assert cancelled == ["done", "cancelled", "cancelled"]
    assert read_job(session, job.id).state == "done"


def test_a_failure_in_a_job_that_is_then_cancelled_leaves_it_cancelled(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard(1), shard(2)])
    fail_step(session, held(session), "No.", again=False)
    running = held(session)

    cancel_job(session, job.id)
    release_step(session, running)

    assert read_job(session, job.id).state == "cancelled"


@pytest.mark.parametrize(
    ("refusal", "raised"),
    [
        (InvalidInputError("Give a number."), InvalidInputError),
        (NotFoundError("There is no such file."), InvalidInputError),
        (ConflictError("It runs already."), ScopebookError),
    ],
)
def test_a_job_tells_whether_its_input_was_refused(
    session: Session, refusal: ScopebookError, raised: type[ScopebookError]
) -> None:
    job = create_job(session, "test", "Test", [shard()])

    fail_step(session, held(session), str(refusal), again=False, kind=kind_of(refusal))

    error = job_error(session, job.id)
    assert (type(error), str(error)) == (raised, str(refusal))


def test_a_retried_job_is_no_refusal_any_more(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    fail_step(session, held(session), "No.", again=False, kind="input")
    retry_job(session, job.id)

    fail_step(session, held(session), "The disk is full.", again=False)

    assert type(job_error(session, job.id)) is ScopebookError


def test_a_cancelled_job_has_a_sentence_too(session: Session) -> None:
    job = create_job(session, "test", "Test", [shard()])
    cancel_job(session, job.id)

    assert str(job_error(session, job.id)) == f"Job {job.id} was cancelled."


def test_errors_are_counted_apart_from_deaths(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    claim(session)
    expire_leases(session)
    fail_step(session, held(session), "A hiccup.", again=True)

    again = held(session)

    assert (again.attempt, again.failures) == (3, 1)


def test_only_the_claim_that_ended_a_step_counts_as_its_end(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    first = held(session)
    expire_leases(session)
    second = held(session)

    before = was_finished(session, second)
    finish_step(session, second)

    assert not before
    assert was_finished(session, second)
    assert not was_finished(session, first)


def test_an_older_job_is_worked_off_first(session: Session) -> None:
    for name in ("old", "new"):
        create_job(session, "test", name, [shard(1), shard(2)])

    jobs = [held(session).job_id for _ in range(4)]

    assert jobs == sorted(jobs)


def test_what_somebody_waits_for_goes_before_and_bulk_comes_last(session: Session) -> None:
    kinds = [COLLECT_SHARD, MERGE_SAE, TEST_PRESET]
    for kind in kinds:
        create_job(session, "test", kind, [NewStep(kind=kind, stage=0, title=kind)] * 2)

    taken = []
    while held := claim_step(session, *kinds, worker="w", lease_s=60, max_attempts=3):
        taken.append(held.kind)

    assert taken == [TEST_PRESET] * 2 + [MERGE_SAE] * 2 + [COLLECT_SHARD] * 2


def test_only_the_kinds_that_are_named_are_claimed(session: Session) -> None:
    create_job(session, "test", "Test", [shard()])
    create_job(session, "test", "Test", [NewStep(kind=MERGE_SAE, stage=0, title="Merge")])

    assert claim(session, TEST_PRESET) is None
    held = claim_step(session, MERGE_SAE, TEST_PRESET, worker="w", lease_s=60, max_attempts=3)
    assert held is not None
    assert held.kind == MERGE_SAE
