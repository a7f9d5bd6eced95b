"""One shard, seven or sixty, in any order, by whichever workers: the same dictionary."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update
from tests.drills.workers import CeleryWorker, until
from tests.tiny_collections import (
    RELEASE,
    SMALL,
    TEXTS,
    ask_for_collection,
    do_all_steps,
    make_tiny,
)

from scopebook import notices
from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Corpus, Model, Release, Run, Sae, Shard, Tokenizer
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.fingerprint import Fingerprint, fingerprint
from scopebook.jobs import COLLECT_SHARD, PLAN_RUN, TOKENISE_CORPUS
from scopebook.settings import settings, use_settings
from scopebook.sweep import sweep_once
from scopebook_workers.claims import work_off
from scopebook_workers.sae.blocks import cut_blocks, cut_shards

MANY_TEXTS = [
    *TEXTS,
    *((f"the cat number {i} and the dog ran to the mat; der Hund {i}", "en") for i in range(150)),
]


@pytest.fixture
def broker(worker: Sessions, tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey")
    server.start()
    use_settings(settings().model_copy(update={"broker_url": server.url()}))
    notices._sender.cache_clear()
    yield server
    server.stop()
    notices._sender.cache_clear()


def taken(sessions: Sessions) -> Fingerprint:
    with unit_of_work(sessions) as session:
        return fingerprint(session, RELEASE)


def plan_run(sessions: Sessions, shards: int) -> int:
    """Ask for a run over sixty blocks, cut it into exactly so many shards, and return its id."""
    broker_url = settings().broker_url
    # No notice leaves before the run is cut, or a worker would cut it its own way.
    use_settings(settings().model_copy(update={"broker_url": None}))
    run_id = ask_for_collection(sessions)
    work_off(TOKENISE_CORPUS)
    with sessions.begin() as session:
        lengths = list(session.scalars(select(Context.n_tokens).order_by(Context.id)))
        blocks = cut_blocks(lengths, SMALL["block_tokens"])[:60]
        lengths = lengths[: blocks[-1].stop]
        run = session.get_one(Run, run_id)
        run.parameters = run.parameters | {"max_tokens": sum(lengths)}
    block_tokens = SMALL["block_tokens"]
    shard_tokens = next(
        tokens
        for tokens in range(1, sum(lengths) + 1)
        if len(cut_shards(lengths, block_tokens=block_tokens, shard_tokens=tokens)) == shards
    )
    use_settings(settings().model_copy(update={"shard_tokens": shard_tokens}))
    work_off(PLAN_RUN)
    use_settings(settings().model_copy(update={"broker_url": broker_url}))
    return run_id


def shards_of(sessions: Sessions, run_id: int) -> int:
    with sessions() as session:
        return len(session.scalars(select(Shard.id).where(Shard.run_id == run_id)).all())


def shuffle(sessions: Sessions, run_id: int) -> None:
    """Give the shards other places, so that they are merged in another order."""
    with sessions.begin() as session:
        shards = list(session.scalars(select(Shard).where(Shard.run_id == run_id)))
        for shard in shards:
            shard.ordinal += 1000
        session.flush()
        places = random.Random(1).sample(range(len(shards)), len(shards))
        for place, shard in zip(places, shards, strict=True):
            shard.ordinal = place


def finish_by_celery(sessions: Sessions, run_id: int) -> set[str | None]:
    """Sweep until the run's job is over; return the workers that did its shards."""
    waiting = threading.Event()
    for _ in range(600):
        with sessions() as session:
            job_id = session.get_one(Run, run_id).job_id
            state = session.scalars(select(Job.state).where(Job.id == job_id)).one()
            by = set(
                session.scalars(
                    select(Step.worker).where(Step.job_id == job_id, Step.kind == COLLECT_SHARD)
                )
            )
        if state not in ("queued", "running"):
            assert state == "done"
            return by
        sweep_once(sessions)
        waiting.wait(0.2)
    raise AssertionError("the run did not end within 2 minutes")


def test_one_seven_and_sixty_shards_by_one_and_several_workers_give_one_fingerprint(
    worker: Sessions, broker: EmbeddedValkey, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path, MANY_TEXTS)
    plan_run(worker, 1)
    do_all_steps()
    whole = taken(worker)

    pools = [CeleryWorker(tmp_path / "one.log", processes=1)]
    try:
        seven_run = plan_run(worker, 7)
        by_one = finish_by_celery(worker, seven_run)
        seven = taken(worker)
        pools.append(CeleryWorker(tmp_path / "two.log", processes=2))
        until(pools[-1].ready)
        sixty_run = plan_run(worker, 60)
        shuffle(worker, sixty_run)
        by_several = finish_by_celery(worker, sixty_run)
        sixty = taken(worker)
    finally:
        for pool in pools:
            pool.kill()

    assert [shards_of(worker, run) for run in (whole.runs[0], seven_run, sixty_run)] == [1, 7, 60]
    assert len(by_one) == 1
    assert len(by_several) > 1
    assert (seven.runs, sixty.runs) == ([seven_run], [sixty_run])
    assert whole.fingerprint == seven.fingerprint == sixty.fingerprint


def row_ids(sessions: Sessions) -> set[int]:
    with sessions() as session:
        saes = select(Sae.id).where(Sae.current_run_id.is_not(None))
        return set(session.scalars(saes)) | set(session.scalars(select(Context.id)))


def set_aside(sessions: Sessions) -> None:
    """Give everything other names, so that the same can be registered anew, with other row ids."""
    with sessions.begin() as session:
        for table in (Model, Release, Corpus):
            session.execute(update(table).values(name="aside " + table.name))
        session.execute(update(Tokenizer).values(sha256="a" * 64))


def test_another_instance_with_other_row_ids_has_the_same_fingerprint(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    first, before = taken(worker), row_ids(worker)

    set_aside(worker)
    make_tiny(worker, tmp_path / "again")
    ask_for_collection(worker)
    do_all_steps()
    second, after = taken(worker), row_ids(worker)

    assert after > before
    assert first.runs != second.runs
    assert (second.layers, second.fingerprint) == (first.layers, first.fingerprint)
