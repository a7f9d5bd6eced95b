"""Tokenise a corpus: cut its documents into contexts, once for each tokenizer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tokenizers import Tokenizer as Cutter

from scopebook.bulk import copy_rows
from scopebook.corpora import reserve_ids
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Context, Document, Tokenisation, Tokenizer
from scopebook.jobs import TOKENISE_CORPUS
from scopebook.near_duplicates import Hashes, Leaders, from_signed, to_signed, token_fingerprints
from scopebook.packing import pack_ints
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.qwen.tokenizer import cut_in_contexts, load_tokenizer

#: Documents, and bytes of their text, that are read, cut and written together.
_TOGETHER: Final = 64
_TEXT_BYTES: Final = 1 << 21
#: Contexts whose fingerprints are computed together.
_CONTEXTS: Final = 1024
_COLUMNS: Final = (
    *("id", "tokenisation_id", "document_id", "ordinal", "n_tokens", "tokens", "spans"),
    *("simhash", "near_id"),
)


@dataclass(frozen=True)
class _Document:
    id: int
    ordinal: int
    text: str


@dataclass(frozen=True)
class _Batch:
    """Some documents' contexts: the rows but for what the database must tell."""

    last: int
    rows: Sequence[tuple[object, ...]]
    fingerprints: Hashes


@step_task(TOKENISE_CORPUS)
def tokenise_corpus(claim: Claim, progress: Progress) -> Finish:
    """Cut what is not cut yet, in the order of the documents, some documents per transaction.

    A context's row id thus grows with its place in the corpus, and work that was interrupted goes
    on where it stopped.
    """
    tokenisation_id = claim.parameters["tokenisation_id"]
    with unit_of_work(sessions()) as session:
        tokenisation = session.get_one(Tokenisation, tokenisation_id)
        cutter = load_tokenizer(Path(session.get_one(Tokenizer, tokenisation.tokenizer_id).path))
        last = _last_done(session, tokenisation_id)
        total = _count(session, tokenisation.corpus_id)
    reached: int | None = last
    while reached is not None:
        reached = _cut_from(tokenisation, cutter, reached, total, progress)
    progress(total, total, "documents")
    return lambda session: None


def _cut_from(
    tokenisation: Tokenisation, cutter: Cutter, last: int, total: int, progress: Progress
) -> int | None:
    """Cut the documents after `last`; return how far another job got if it came between."""
    leaders: Leaders | None = None
    for batch in _ahead(tokenisation, cutter, last):
        progress(last + 1, total, "documents")
        with unit_of_work(sessions()) as session:
            progress.hold(session)
            elsewhere = _lock(session, tokenisation.id)
            if elsewhere > last:
                return elsewhere
            if leaders is None:
                leaders = _leaders(session, tokenisation.id)
            _write(session, batch, leaders)
        last = batch.last
    return None


def _lock(session: Session, tokenisation_id: int) -> int:
    """Let no other job write contexts until this transaction ends; return how far they got."""
    session.execute(
        select(Tokenisation.id).where(Tokenisation.id == tokenisation_id).with_for_update()
    )
    return _last_done(session, tokenisation_id)


def _last_done(session: Session, tokenisation_id: int) -> int:
    """Return the ordinal of the last document that has contexts; -1 for none."""
    last = session.scalar(
        select(Document.ordinal)
        .join(Context, Context.document_id == Document.id)
        .where(Context.tokenisation_id == tokenisation_id)
        .order_by(Context.id.desc())
        .limit(1)
    )
    return -1 if last is None else last


def _leaders(session: Session, tokenisation_id: int) -> Leaders:
    """Read the contexts that repeat none before them; the others are found by these alone."""
    rows = session.execute(
        select(Context.id, Context.simhash)
        .where(
            Context.tokenisation_id == tokenisation_id,
            Context.near_id.is_(None),
            Context.simhash.is_not(None),
        )
        .order_by(Context.id)
        .execution_options(yield_per=10_000)
    )
    pairs = np.fromiter(((row.id, row.simhash) for row in rows), dtype="i8,i8")
    return Leaders(pairs["f0"].copy(), from_signed(pairs["f1"].copy()))


def _write(session: Session, batch: _Batch, leaders: Leaders) -> None:
    ids = reserve_ids(session, "context", len(batch.rows))
    led = leaders.join(np.asarray(ids, dtype=np.int64), batch.fingerprints).tolist()
    copy_rows(
        session,
        Context,
        _COLUMNS,
        (
            (row_id, *row, simhash, None if leader == row_id else leader)
            for row_id, row, simhash, leader in zip(
                ids, batch.rows, to_signed(batch.fingerprints), led, strict=True
            )
        ),
    )


def _count(session: Session, corpus_id: int) -> int:
    return session.scalars(
        select(func.count()).select_from(Document).where(Document.corpus_id == corpus_id)
    ).one()


def _ahead(tokenisation: Tokenisation, cutter: Cutter, last: int) -> Iterator[_Batch]:
    """Yield the contexts of the documents after `last`.

    While one batch is written, a thread cuts the next (tokenizers release Python's lock): two
    batches are held at most.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="cut") as thread:
        coming: Future[_Batch | None] = thread.submit(_next_batch, tokenisation, cutter, last)
        while (batch := coming.result()) is not None:
            coming = thread.submit(_next_batch, tokenisation, cutter, batch.last)
            yield batch


def _next_batch(tokenisation: Tokenisation, cutter: Cutter, last: int) -> _Batch | None:
    documents = _documents_after(tokenisation.corpus_id, last)
    if not documents:
        return None
    rows: list[tuple[object, ...]] = []
    fingerprints: list[Hashes] = []
    waiting: list[NDArray[np.int32]] = []
    texts = [document.text for document in documents]
    cut = cut_in_contexts(cutter, texts, tokenisation.context_tokens)
    for document, contexts in zip(documents, cut, strict=True):
        for ordinal, (ids, spans) in enumerate(contexts):
            described = (tokenisation.id, document.id, ordinal, len(ids))
            rows.append((*described, pack_ints(ids), pack_ints(spans)))
            waiting.append(ids)
            if len(waiting) == _CONTEXTS:  # one document may have any number of contexts
                fingerprints.append(token_fingerprints(waiting))
                waiting = []
    fingerprints.append(token_fingerprints(waiting))
    return _Batch(documents[-1].ordinal, rows, np.concatenate(fingerprints))


def _documents_after(corpus_id: int, ordinal: int) -> list[_Document]:
    """Return the next documents: so many that their texts stay small, but one at least."""
    size = func.octet_length(Document.text)
    following = (
        select(
            Document.id,
            Document.ordinal,
            Document.text,
            (func.sum(size).over(order_by=Document.ordinal) - size).label("before"),
        )
        .where(Document.corpus_id == corpus_id, Document.ordinal > ordinal)
        .order_by(Document.ordinal)
        .limit(_TOGETHER)
        .subquery()
    )
    with unit_of_work(sessions()) as session:
        rows = session.execute(
            select(following.c.id, following.c.ordinal, following.c.text)
            .where(following.c.before < _TEXT_BYTES)
            .order_by(following.c.ordinal)
        )
        return [_Document(*row) for row in rows]
