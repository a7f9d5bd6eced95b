"""Register bodies of text: each text once, what cannot be read reported and left out."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import ColumnElement, exists, func, select, text
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import Corpus, Document
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.near_duplicates import Leaders, from_signed, text_fingerprint, to_signed
from scopebook.quotas import place_of_texts
from scopebook.text_sources import read_texts
from scopebook.texts import Problem, Reading, Text

#: So many problems are kept with their reasons; the others are counted.
SHOWN_PROBLEMS = 20
#: Documents, and characters of them, that are written together.
_TOGETHER: Final = 256
_CHARACTERS: Final = 1 << 22
_DESCRIPTION = ("title", "tag", "language", "source", "licence")
_COLUMNS = (
    *("id", "corpus_id", "ordinal", "name", "sha256", "text", "simhash", "near_id"),
    *_DESCRIPTION,
)

_Found = tuple[bytes, Text]
Progress = Callable[["CorpusReport"], None]


@dataclass(kw_only=True)
class CorpusReport:
    """What became of a source: texts kept, and what was left out."""

    name: str
    #: Texts of the source that the corpus holds now; `new` of them were not there before.
    documents: int = 0
    characters: int = 0
    new: int = 0
    #: New documents that nearly repeat an earlier one.
    near_duplicates: int = 0
    duplicates: int = 0
    empty: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)
    #: Whether the corpus was there before.
    existed: bool = False
    #: Documents that the corpus holds now, those of other sources too.
    held: int = 0

    def __str__(self) -> str:
        left_out = {
            "duplicates": self.duplicates,
            "empty texts": self.empty,
            "lines that cannot be read": self.bad,
        }
        counts = [f"{count:,} {what}" for what, count in left_out.items() if count]
        parts = [f"{self.name}: {self._what_is_new()}"]
        if counts:
            parts.append(f"left out {', '.join(counts)}")
        if self.near_duplicates:
            parts.append(
                f"{self.near_duplicates:,} near-duplicates of other documents, kept and flagged"
            )
        return "\n".join(["; ".join(parts), *(f"  {problem}" for problem in self.problems)])

    def _what_is_new(self) -> str:
        """Say what was added, and what the corpus holds now where that is more."""
        source = _documents_of(self.documents)
        if not self.existed:
            return f"{source}, {self.characters:,} characters"
        if not self.new:
            return f"nothing new in {source}; the corpus holds {_documents_of(self.held)}"
        there = self.documents - self.new
        before = f" ({there:,} of the source there already)" if there else ""
        return (
            f"{_documents_of(self.new)} added{before}; "
            f"the corpus holds {_documents_of(self.held)} now"
        )


def _documents_of(count: int) -> str:
    return f"{count:,} document{'' if count == 1 else 's'}"


def add_corpus(
    session: Session,
    name: str,
    source: Path | str,
    *,
    reading: Reading | None = None,
    extend: bool = False,
    progress: Progress | None = None,
) -> CorpusReport:
    """Register the texts of a file, a folder or a data set of the hub (`hf:ID`) as a corpus.

    Equal texts are kept once, near-duplicates are kept and flagged, texts of white space only are
    left out, and so is what cannot be read. Adding the same texts again changes nothing and says
    so; other texts are appended with `extend`, and refused without. `progress` hears of each
    batch written.
    """
    if not name.strip() or name != name.strip() or len(name) > 200:
        raise InvalidInputError(
            f"{name[:50]!r} cannot name a corpus; give 1 to 200 characters without spaces around."
        )
    report = CorpusReport(name=name)
    place_of_texts(session, written=False)
    found = _documents(read_texts(source, reading or Reading()), report)
    # Until the end, so that two who add to it number their documents one after the other. Not the
    # row's own lock: while an addition takes hours, collections of the corpus may be asked for.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
    corpus = session.scalar(select(Corpus).where(Corpus.name == name))
    report.existed = corpus is not None
    if corpus is not None:
        refuse_deleted(corpus)
    if corpus is not None and not extend:
        _check_same(session, name, corpus.id, found)
        report.held = report.documents
        return report
    with session.begin_nested():
        if corpus is None:
            corpus = Corpus(name=name, source=str(source))
            session.add(corpus)
            session.flush()
        _append(session, corpus.id, found, report, progress)
        if report.documents == 0:
            raise InvalidInputError(_nothing_in(source, report))
        place_of_texts(session, written=True)
        report.held = len(_digests(session, corpus.id))
        if report.existed and report.new:
            corpus.source = f"{corpus.source} + {source}"
    return report


def _documents(texts: Iterator[Text | Problem], report: CorpusReport) -> Iterator[_Found]:
    """Yield each different text with its SHA-256, and count everything in the report."""
    seen: set[bytes] = set()
    for found in texts:
        if isinstance(found, Problem):
            report.bad += 1
            if len(report.problems) < SHOWN_PROBLEMS:
                report.problems.append(found)
            continue
        digest = hashlib.sha256(found.text.encode()).digest()
        if not found.text.strip():
            report.empty += 1
        elif digest in seen:
            report.duplicates += 1
        else:
            seen.add(digest)
            report.documents += 1
            report.characters += len(found.text)
            yield digest, found


def _append(
    session: Session,
    corpus_id: int,
    found: Iterator[_Found],
    report: CorpusReport,
    progress: Progress | None,
) -> None:
    """Write the texts that the corpus does not hold yet, behind those that it holds."""
    present = _digests(session, corpus_id)
    leaders = _leaders(session, corpus_id)
    fresh = (one for one in found if one[0] not in present)
    last = select(func.max(Document.ordinal)).where(Document.corpus_id == corpus_id)
    following = session.scalars(select(func.coalesce(last.scalar_subquery(), -1) + 1)).one()
    for batch in _batches(fresh):
        rows = _rows(session, corpus_id, following, batch, leaders)
        copy_rows(session, Document, _COLUMNS, rows)
        following += len(rows)
        report.new += len(rows)
        report.near_duplicates += sum(row[7] is not None for row in rows)
        if progress is not None:
            progress(report)


def _digests(session: Session, corpus_id: int) -> set[bytes]:
    return set(session.scalars(select(Document.sha256).where(Document.corpus_id == corpus_id)))


def _leaders(session: Session, corpus_id: int) -> Leaders:
    rows = session.execute(
        select(Document.id, Document.simhash)
        .where(
            Document.corpus_id == corpus_id,
            Document.near_id.is_(None),
            Document.simhash.is_not(None),
        )
        .order_by(Document.id)
    ).all()
    return Leaders(
        np.asarray([row.id for row in rows], dtype=np.int64),
        from_signed([row.simhash for row in rows]),
    )


def _batches(found: Iterator[_Found]) -> Iterator[list[_Found]]:
    batch: list[_Found] = []
    characters = 0
    for one in found:
        batch.append(one)
        characters += len(one[1].text)
        if len(batch) >= _TOGETHER or characters >= _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _rows(
    session: Session, corpus_id: int, first: int, batch: Sequence[_Found], leaders: Leaders
) -> list[tuple[object, ...]]:
    """Return the documents' columns, each with its row id and the document it nearly repeats."""
    ids = reserve_ids(session, "document", len(batch))
    prints = np.asarray([text_fingerprint(one.text) for _, one in batch], dtype=np.uint64)
    led = leaders.join(np.asarray(ids, dtype=np.int64), prints).tolist()
    return [
        (
            *(row_id, corpus_id, first + place, one.name, digest, one.text, simhash),
            None if leader == row_id else leader,
            *(getattr(one, column) for column in _DESCRIPTION),
        )
        for place, (row_id, (digest, one), simhash, leader) in enumerate(
            zip(ids, batch, to_signed(prints), led, strict=True)
        )
    ]


def reserve_ids(session: Session, table: str, count: int) -> list[int]:
    """Return ids for rows of a table that are written with their ids, in ascending order."""
    drawn = text(
        "SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)"
    )
    return sorted(session.scalars(drawn, {"table": table, "count": count}))


def _check_same(session: Session, name: str, corpus_id: int, found: Iterator[_Found]) -> None:
    present = _digests(session, corpus_id)
    if present != {digest for digest, _ in found}:
        raise ConflictError(
            f"There is a corpus {name!r} with other texts; choose another name for this one, or "
            "append its new texts with --extend."
        )


def _nothing_in(source: Path | str, report: CorpusReport) -> str:
    reason = f" (first problem: {report.problems[0]})" if report.problems else ""
    return f"{source} holds no text that could be read{reason}; a corpus needs one at least."


def is_registered() -> ColumnElement[bool]:
    """Return the condition that people have registered a corpus: it is not one of scans alone."""
    # The table itself: who sees which release has no say in what a corpus is.
    scans = Scan.__table__
    return ~exists().where(scans.c.corpus_id == Corpus.id, scans.c.owns_corpus)


def refuse_deleted(corpus: Corpus) -> None:
    """Raise ConflictError for a corpus that is being deleted."""
    if corpus.deletion_job_id is not None:
        raise ConflictError(
            f"The corpus {corpus.name!r} is being deleted, by job {corpus.deletion_job_id}; take "
            "another one, or add it again once it is gone."
        )


def find_corpus(session: Session, name: str) -> Corpus:
    """Return the corpus of that name to begin something on it, or raise with the names there are.

    Until the transaction ends it is shared with others who do, and nobody begins to delete it.
    """
    corpus = session.scalar(
        select(Corpus)
        .where(Corpus.name == name)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    if corpus is not None:
        refuse_deleted(corpus)
        return corpus
    named = select(Corpus.name).where(is_registered()).order_by(Corpus.name).limit(20)
    known = list(session.scalars(named))
    raise NotFoundError(
        f"There is no corpus {name!r} here; "
        + (f"there is {', '.join(known)}." if known else "add one with `scopebook corpus add`.")
    )
