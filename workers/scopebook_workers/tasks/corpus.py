"""Tokenise a corpus: cut its documents into contexts, once for each tokenizer."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tokenizers import Tokenizer as Cutter

from scopebook.bulk import copy_rows
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Context, Document, Tokenisation, Tokenizer
from scopebook.jobs import TOKENISE_CORPUS
from scopebook.packing import pack_ints
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.qwen.tokenizer import cut_texts, load_tokenizer

#: Documents that are read, cut and written together.
_TOGETHER = 64
_COLUMNS = ("tokenisation_id", "document_id", "ordinal", "n_tokens", "tokens", "spans")

_Documents = Sequence[tuple[int, int, str]]


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
    while documents := _documents_after(tokenisation.corpus_id, last):
        progress(last + 1, total, "documents")
        rows = list(_contexts(tokenisation, cutter, documents))
        with unit_of_work(sessions()) as session:
            progress.hold(session)
            last = _write(session, tokenisation_id, last, documents[-1][1], rows)
    progress(total, total, "documents")
    return lambda session: None


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


def _write(
    session: Session,
    tokenisation_id: int,
    before: int,
    last: int,
    rows: Sequence[tuple[object, ...]],
) -> int:
    """Write the contexts up to document `last`, unless another job got there first.

    Returns the last document that is done.
    """
    session.execute(
        select(Tokenisation.id).where(Tokenisation.id == tokenisation_id).with_for_update()
    )
    elsewhere = _last_done(session, tokenisation_id)
    if elsewhere > before:
        return elsewhere
    copy_rows(session, Context, _COLUMNS, rows)
    return last


def _count(session: Session, corpus_id: int) -> int:
    return session.scalars(
        select(func.count()).select_from(Document).where(Document.corpus_id == corpus_id)
    ).one()


def _documents_after(corpus_id: int, ordinal: int) -> _Documents:
    with unit_of_work(sessions()) as session:
        rows = session.execute(
            select(Document.id, Document.ordinal, Document.text)
            .where(Document.corpus_id == corpus_id, Document.ordinal > ordinal)
            .order_by(Document.ordinal)
            .limit(_TOGETHER)
        )
        return [(row.id, row.ordinal, row.text) for row in rows]


def _contexts(
    tokenisation: Tokenisation, cutter: Cutter, documents: _Documents
) -> Iterator[tuple[int, int, int, int, bytes, bytes]]:
    cut = cut_texts(cutter, [text for _, _, text in documents])
    for (document_id, _, _), (token_ids, spans) in zip(documents, cut, strict=True):
        for ordinal, start in enumerate(range(0, len(token_ids), tokenisation.context_tokens)):
            part = slice(start, start + tokenisation.context_tokens)
            yield (
                tokenisation.id,
                document_id,
                ordinal,
                len(token_ids[part]),
                pack_ints(token_ids[part]),
                pack_ints(spans[part]),
            )
