import threading

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tests.makers import make_corpus, make_labeling, make_release, make_run

from scopebook.db.jobs import Step
from scopebook.db.label_tables import WindowVector
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.jobs import LABEL_SAE
from scopebook.steps import NewStep, create_job
from scopebook.window_vectors import keep_vectors, kept_vectors, remove_unused_vectors


def key(number: int) -> bytes:
    return number.to_bytes(16)


def count(session: Session) -> int:
    return session.execute(select(func.count()).select_from(WindowVector)).scalar_one()


def test_vectors_are_kept_by_embedder_and_window(session: Session) -> None:
    keep_vectors(session, "one", {key(1): b"\x00\x01", key(2): b""})
    keep_vectors(session, "other", {key(1): b"\xff" * 2000})

    assert kept_vectors(session, "one", [key(1), key(2), key(3)]) == {
        key(1): b"\x00\x01",
        key(2): b"",
    }
    assert kept_vectors(session, "other", [key(1), key(2)]) == {key(1): b"\xff" * 2000}
    assert kept_vectors(session, "third", [key(1)]) == {}
    assert kept_vectors(session, "one", []) == {}


def test_what_is_kept_stays_as_it_is(session: Session) -> None:
    keep_vectors(session, "one", {key(1): b"first"})
    keep_vectors(session, "one", {key(1): b"second", key(2): b"new"})
    keep_vectors(session, "one", {})

    assert kept_vectors(session, "one", [key(1), key(2)]) == {key(1): b"first", key(2): b"new"}


def test_workers_that_keep_the_same_windows_do_not_block_each_other(sessions: Sessions) -> None:
    numbers = list(range(2_000))
    orders = [numbers, numbers[::-1], numbers[1000:] + numbers[:1000]]
    failed: list[BaseException] = []

    def keep(order: list[int]) -> None:
        try:
            for start in range(0, len(order), 500):
                part = order[start : start + 500]
                with unit_of_work(sessions) as session:
                    keep_vectors(session, "one", {key(number): b"xy" for number in part})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=keep, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with sessions() as session:
        assert count(session) == 2_000


def test_vectors_of_an_embedder_that_no_labeling_names_are_removed(session: Session) -> None:
    saes = make_release(session)
    run = make_run(session, saes, make_corpus(session, ["text"]))
    make_labeling(session, saes[0], run.id).parameters = {"embedder": "named"}
    make_labeling(session, saes[0], run.id)
    for embedder in ("named", "unnamed", "other"):
        keep_vectors(session, embedder, {key(number): b"xy" for number in range(3)})

    removed = remove_unused_vectors(session)

    assert removed == 6
    assert len(kept_vectors(session, "named", [key(0), key(1), key(2)])) == count(session) == 3


def test_vectors_that_a_step_may_go_on_from_stay(session: Session) -> None:
    keep_vectors(session, "one", {key(1): b"xy"})
    parameters = {"embedder": {"name": "http://localhost/v1", "model": None}}
    step = NewStep(kind=LABEL_SAE, stage=0, title="Label", parameters=parameters)
    job = create_job(session, "test", "Test", [step])
    row = session.scalars(select(Step).where(Step.job_id == job.id)).one()

    removed = []
    for state in ("queued", "running", "failed", "cancelled"):
        row.state = state
        session.flush()
        removed.append(remove_unused_vectors(session))

    assert removed == [0, 0, 0, 1]
