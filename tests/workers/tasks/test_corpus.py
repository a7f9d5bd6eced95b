import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.tiny_collections import ask_for_collection, make_tiny

from scopebook.corpora import add_corpus
from scopebook.db.jobs import Step
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Context, Corpus, Document, Tokenisation
from scopebook.jobs import TOKENISE_CORPUS
from scopebook.packing import unpack_ints
from scopebook.steps import NewStep, create_job
from scopebook_workers.claims import work_off
from scopebook_workers.qwen import tokenizer as tokenizer_module
from scopebook_workers.tasks import corpus as corpus_module

WORDS = "the cat dog sat mat and ran to on number der Hund die Katze und 中文 中国"


def long_text(seed: int, words: int = 40) -> str:
    dice = random.Random(seed)
    return " ".join(f"{dice.choice(WORDS.split())} {dice.randrange(1000)}" for _ in range(words))


def many_texts(number: int) -> list[tuple[str, str | None]]:
    """Texts of several contexts; every third repeats one before it, nearly or in a part."""
    texts = [long_text(seed) for seed in range(number)]
    for place in range(3, number, 3):
        texts[place] = texts[place - 2] + f" {place}"
    return [(text, None) for text in texts]


def groups(sessions: Sessions) -> list[tuple[int, int, tuple[int, int]]]:
    """Return each context by its place in the corpus, and the place of the context it repeats."""
    with sessions() as session:
        rows = session.execute(
            select(Context.id, Context.near_id, Document.ordinal, Context.ordinal)
            .join(Document, Document.id == Context.document_id)
            .order_by(Context.id)
        ).all()
    place = {row[0]: (row[2], row[3]) for row in rows}
    assert [place[row[0]] for row in rows] == sorted(place.values())
    return [(*place[row[0]], place[row[1] or row[0]]) for row in rows]


def tokens_of(sessions: Sessions) -> dict[tuple[int, int], list[int]]:
    with sessions() as session:
        rows = session.execute(
            select(Document.ordinal, Context.ordinal, Context.tokens).join(
                Document, Document.id == Context.document_id
            )
        )
        return {(one, two): unpack_ints(tokens).tolist() for one, two, tokens in rows}


def ask_to_tokenise(sessions: Sessions, jobs: int = 1) -> None:
    with sessions.begin() as session:
        tokenisation = session.scalars(select(Tokenisation)).one()
        for _ in range(jobs):
            step = NewStep(
                kind=TOKENISE_CORPUS,
                stage=0,
                title="Tokenise",
                parameters={"tokenisation_id": tokenisation.id},
            )
            create_job(session, "test", "Test", [step])


def test_equal_contexts_are_one_group_led_by_the_earliest(worker: Sessions, tmp_path: Path) -> None:
    same = "the cat sat on the mat " * 30
    texts = [long_text(1), "x", same, long_text(2), long_text(1) + " and", "x y", same + "."]
    make_tiny(worker, tmp_path, [(text, None) for text in texts])
    with worker.begin() as session:
        corpus = session.scalars(select(Corpus)).one()
        session.add(Document(corpus_id=corpus.id, ordinal=7, name="again", sha256=b"7", text="x"))
    ask_for_collection(worker)

    work_off(TOKENISE_CORPUS)

    leader: dict[tuple[int, ...], tuple[int, int]] = {}
    tokens = tokens_of(worker)
    for document, ordinal, near in groups(worker):
        earliest = leader.setdefault(tuple(tokens[document, ordinal]), near)
        assert near == earliest
    assert (7, 0, (1, 0)) in groups(worker)


def test_groups_do_not_depend_on_batches(
    worker: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny(worker, tmp_path, many_texts(40))
    ask_for_collection(worker)
    work_off(TOKENISE_CORPUS)
    whole = groups(worker)
    with worker.begin() as session:
        session.query(Context).delete()
    monkeypatch.setattr(corpus_module, "_TOGETHER", 3)
    ask_to_tokenise(worker)

    work_off(TOKENISE_CORPUS)

    assert groups(worker) == whole
    assert any((document, ordinal) != near for document, ordinal, near in whole)


def test_batches_are_bounded_by_their_text(
    worker: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_module, "_TEXT_BYTES", 1000)
    lengths = [600, 600, 5000, 600, 600, 5000]
    make_tiny(
        worker,
        tmp_path,
        [(letter * size, None) for letter, size in zip("abcdef", lengths, strict=True)],
    )
    with worker() as session:
        corpus_id = session.scalars(select(Corpus.id)).one()

    sizes, last = [], -1
    while batch := corpus_module._documents_after(corpus_id, last):
        sizes.append([len(document.text) for document in batch])
        last = batch[-1].ordinal

    assert sizes == [[600, 600], [5000], [600, 600], [5000]]


def test_long_texts_are_cut_in_pieces_with_spans_of_the_whole(
    worker: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n".join(long_text(seed, 12) for seed in range(30))
    make_tiny(worker, tmp_path, [(text, None), ("the cat", None)])
    ask_for_collection(worker)
    work_off(TOKENISE_CORPUS)
    whole = tokens_of(worker)
    with worker.begin() as session:
        session.query(Context).delete()
    monkeypatch.setattr(tokenizer_module, "LONGEST", 400)
    ask_to_tokenise(worker)

    work_off(TOKENISE_CORPUS)

    assert tokens_of(worker) == whole
    with worker() as session:
        spans = [unpack_ints(packed).reshape(-1, 2) for packed in session.scalars(
            select(Context.spans).where(Context.document_id == select(func.min(Document.id))
            .scalar_subquery()).order_by(Context.ordinal))]  # fmt: skip
    covered = {place for part in spans for start, end in part for place in range(start, end)}
    assert covered == set(range(len(text)))


def test_an_extension_is_tokenised_alone_and_joins_earlier_groups(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path, many_texts(10))
    ask_for_collection(worker)
    work_off(TOKENISE_CORPUS)
    columns = (Context.id, Context.tokens, Context.simhash, Context.near_id)
    with worker() as session:
        before = session.execute(select(*columns).order_by(Context.id)).all()
    extension = tmp_path / "more.txt"
    extension.write_text(long_text(1) + " more\n")
    with worker.begin() as session:
        assert add_corpus(session, "tiny", extension, extend=True).new == 1
    ask_to_tokenise(worker)

    work_off(TOKENISE_CORPUS)

    with worker() as session:
        after = session.execute(select(*columns).order_by(Context.id)).all()
    assert after[: len(before)] == before
    assert (10, 0, (1, 0)) in groups(worker)
    assert after[-1].id > before[-1].id


def test_two_jobs_at_once_give_each_context_once_in_order(
    worker: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tiny(worker, tmp_path, many_texts(60))
    ask_for_collection(worker)
    work_off(TOKENISE_CORPUS)
    alone = groups(worker)
    with worker.begin() as session:
        session.query(Context).delete()
    monkeypatch.setattr(corpus_module, "_TOGETHER", 2)
    ask_to_tokenise(worker, jobs=3)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work_off, [TOKENISE_CORPUS] * 3))

    assert groups(worker) == alone
    with worker() as session:
        assert set(session.scalars(select(Step.state).where(Step.stage == 0))) == {"done"}


_WORKER = """
import sys
from pathlib import Path
from scopebook.settings import Settings, use_settings
use_settings(Settings(database_url=sys.argv[1], data_dir=Path(sys.argv[2]), broker_url=None))
from scopebook_workers.tasks import corpus
corpus._TOGETHER = 2
write = corpus._write
def slowly(*arguments):
    import time
    write(*arguments)
    time.sleep(0.05)
corpus._write = slowly
from scopebook_workers.claims import work_off
work_off("%s")
"""


def test_a_worker_that_is_killed_in_the_middle_changes_no_group(
    worker: Sessions, tmp_path: Path, database_url: str
) -> None:
    make_tiny(worker, tmp_path, many_texts(60))
    ask_for_collection(worker)
    work_off(TOKENISE_CORPUS)
    whole = groups(worker)
    with worker.begin() as session:
        session.query(Context).delete()
    for kill_at in (10, 60):
        ask_to_tokenise(worker)
        command = [sys.executable, "-c", _WORKER % TOKENISE_CORPUS, database_url, str(tmp_path)]
        process = subprocess.Popen(command)
        while count(worker) < kill_at and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert 60 <= count(worker) < len(whole)
    ask_to_tokenise(worker)

    work_off(TOKENISE_CORPUS)

    assert groups(worker) == whole


def count(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalars(select(func.count()).select_from(Context)).one()
