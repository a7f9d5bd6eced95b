"""A corpus that grows: only what is new is read, and the result is that of reading all."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from tests.tiny_collections import (
    RELEASE,
    SMALL,
    TEXTS,
    ask_for_collection,
    do_all_steps,
    evidence_of,
    make_tiny,
)

from scopebook.corpora import add_corpus
from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Context, Corpus, Document, Run, RunState, Shard
from scopebook.fingerprint import fingerprint
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, PLAN_RUN, TOKENISE_CORPUS
from scopebook.runs import collect_once
from scopebook.settings import settings, use_settings
from scopebook.steps import retry_job
from scopebook_workers.claims import work_off
from scopebook_workers.tasks import runs as runs_module

NEW = [("the cat and the dog " * 9, "en"), ("un chat noir", "fr"), ("中文 the mat " * 6, "zh")]


def grow(sessions: Sessions, folder: Path, texts: Sequence[tuple[str, str | None]] = NEW) -> None:
    """Append texts to the tiny corpus, with their tags."""
    source = folder / "more"
    for number, (text, tag) in enumerate(texts):
        (source / str(tag)).mkdir(parents=True, exist_ok=True)
        (source / str(tag) / f"{number}.txt").write_text(text)
    with sessions.begin() as session:
        add_corpus(session, "tiny", source, extend=True)


def tokens_read(sessions: Sessions, run_id: int) -> int:
    """Return how many tokens the shards of a run were to read."""
    with sessions() as session:
        return session.scalars(
            select(func.sum(Step.total))
            .join(Run, Run.job_id == Step.job_id)
            .where(Run.id == run_id, Step.kind == COLLECT_SHARD)
        ).one()


def test_a_run_over_a_corpus_that_has_grown_finds_what_a_run_over_all_of_it_finds(
    worker: Sessions, tmp_path: Path
) -> None:
    use_settings(settings().model_copy(update={"shard_tokens": 60}))
    make_tiny(worker, tmp_path)
    first = ask_for_collection(worker)
    do_all_steps()
    grow(worker, tmp_path)

    extended = ask_for_collection(worker, anew=False)
    do_all_steps()
    with worker() as session:
        by_extension = fingerprint(session, RELEASE).fingerprint
    whole = ask_for_collection(worker, anew=True)
    do_all_steps()

    with worker() as session:
        assert session.get_one(Run, extended).base_run_id == first
        assert session.get_one(Run, whole).base_run_id is None
        assert fingerprint(session, RELEASE).fingerprint == by_extension
    assert evidence_of(worker, extended) == evidence_of(worker, whole)
    assert evidence_of(worker, extended) != evidence_of(worker, first)
    new = tokens_read(worker, whole) - tokens_read(worker, first)
    assert new <= tokens_read(worker, extended) < new + SMALL["block_tokens"] + 16


def test_growing_twice_and_by_nothing_gives_the_same_too(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    for texts in (NEW[:1], [], NEW[1:]):
        if texts:
            grow(worker, tmp_path, texts)
        extended = ask_for_collection(worker, anew=False)
        do_all_steps()

    whole = ask_for_collection(worker, anew=True)
    do_all_steps()

    assert evidence_of(worker, extended) == evidence_of(worker, whole)


def test_what_was_collected_is_not_collected_again(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    with worker.begin() as session:
        job_id, is_new = collect_once(session, RELEASE, "tiny", label=False)
    assert is_new
    with worker.begin() as session:
        while_it_runs = collect_once(session, RELEASE, "tiny", label=False)
    do_all_steps()

    with worker.begin() as session:
        again = collect_once(session, RELEASE, "tiny", [3], label=False)
        assert again == while_it_runs == (job_id, False)
        assert session.scalars(select(func.count()).select_from(Run)).one() == 1


@pytest.mark.parametrize("what", ["more text", "labels", "a limit", "asked", "failed"])
def test_what_differs_is_collected(worker: Sessions, tmp_path: Path, what: str) -> None:
    make_tiny(worker, tmp_path)
    with worker.begin() as session:
        collect_once(session, RELEASE, "tiny", label=False)
    do_all_steps()
    if what == "more text":
        grow(worker, tmp_path)
    if what == "failed":
        with worker.begin() as session:
            session.execute(update(Job).values(state="failed"))

    with worker.begin() as session:
        _, is_new = collect_once(
            session,
            RELEASE,
            "tiny",
            label=what == "labels",
            max_tokens=50 if what == "a limit" else None,
            anew=what == "asked",
        )

    assert is_new


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "artifacts/runs").rglob("*") if path.is_file())


def test_after_a_run_only_what_the_next_one_goes_on_from_is_kept(
    worker: Sessions, tmp_path: Path
) -> None:
    use_settings(settings().model_copy(update={"shard_tokens": 60}))
    make_tiny(worker, tmp_path)
    first = ask_for_collection(worker)
    (tmp_path / f"artifacts/runs/{first}").mkdir(parents=True)
    (tmp_path / f"artifacts/runs/{first}/.shard-00001-1.npz.left-by-a-killed-worker").touch()
    do_all_steps()
    assert files_of(tmp_path) == ["layer1-1.npz", "layer3-1.npz"]

    grow(worker, tmp_path)
    second = ask_for_collection(worker, anew=False)
    do_all_steps()

    assert files_of(tmp_path) == ["layer1-1.npz", "layer3-1.npz"]
    with worker() as session:
        assert set(session.scalars(select(RunState.run_id))) == {second}
        assert set(session.scalars(select(Shard.artifact))) == {None}


def test_two_runs_that_go_on_from_the_same_one_both_find_all(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    grow(worker, tmp_path)
    runs = [ask_for_collection(worker, anew=False) for _ in range(2)]
    for kind in (TOKENISE_CORPUS, PLAN_RUN, COLLECT_SHARD):
        work_off(kind)

    do_all_steps()

    assert evidence_of(worker, runs[0]) == evidence_of(worker, runs[1]) != []
    with worker() as session:
        assert set(session.scalars(select(Job.state))) == {"done"}


def test_nothing_goes_on_from_a_run_that_was_cancelled_half_way(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    first = ask_for_collection(worker)
    for kind in (TOKENISE_CORPUS, PLAN_RUN, COLLECT_SHARD):
        work_off(kind)
    with worker.begin() as session:
        job_id = session.get_one(Run, first).job_id
        last = select(func.max(Step.id)).where(Step.kind == MERGE_SAE).scalar_subquery()
        session.execute(update(Step).where(Step.id == last).values(state="cancelled"))
    work_off(MERGE_SAE)
    second = ask_for_collection(worker, anew=False)
    do_all_steps()

    with worker.begin() as session:
        assert session.get_one(Job, job_id).state == "cancelled"
        assert session.get_one(Run, second).base_run_id is None
        retry_job(session, job_id)
    do_all_steps()

    assert evidence_of(worker, first) == evidence_of(worker, second) != []


def test_a_run_reads_what_was_there_when_it_was_asked_for(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker)
    grow(worker, tmp_path)

    do_all_steps()

    with worker() as session:
        run = session.get_one(Run, run_id)
        read = set(
            session.scalars(
                select(Context.document_id).where(
                    Context.id <= select(func.max(Shard.last_context_id)).scalar_subquery()
                )
            )
        )
    assert max(read) <= (run.last_document_id or 0) == len(TEXTS)


@pytest.mark.parametrize("most", [3, 4, 100])
def test_tags_are_counted_as_by_a_run_over_all_text(
    worker: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(runs_module, "MOST_TAGS", most)
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    grow(worker, tmp_path, [(f"un chat numéro {number}", "fr") for number in range(12)])

    extended = ask_for_collection(worker, anew=False)
    do_all_steps()
    whole = ask_for_collection(worker, anew=True)
    do_all_steps()

    assert evidence_of(worker, extended) == evidence_of(worker, whole)


def test_the_corpus_knows_its_documents_in_order(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    grow(worker, tmp_path)

    with worker() as session:
        corpus = session.scalars(select(Corpus)).one()
        rows = session.execute(
            select(Document.id, Document.ordinal)
            .where(Document.corpus_id == corpus.id)
            .order_by(Document.id)
        ).all()
    assert [ordinal for _, ordinal in rows] == list(range(len(TEXTS) + len(NEW)))
