"""Register bodies of text: each text once, what cannot be read reported and left out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.tables import Corpus, Document
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.text_sources import Problem, Text, read_texts

#: So many problems are kept with their reasons; the others are counted.
SHOWN_PROBLEMS = 20
_DESCRIPTION = ("title", "tag", "language", "source", "licence")
_COLUMNS = ("corpus_id", "ordinal", "name", "sha256", "text", *_DESCRIPTION)


@dataclass(kw_only=True)
class CorpusReport:
    """What became of a source: texts kept, and what was left out."""

    name: str
    documents: int = 0
    characters: int = 0
    duplicates: int = 0
    empty: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)
    #: Whether the corpus was there before, with the same texts; nothing was changed then.
    existed: bool = False

    def __str__(self) -> str:
        left_out = {
            "duplicates": self.duplicates,
            "empty texts": self.empty,
            "lines that cannot be read": self.bad,
        }
        parts = [f"{count:,} {what}" for what, count in left_out.items() if count]
        heading = (
            f"{self.name}: {self.documents:,} documents, {self.characters:,} characters"
            + (f"; left out {', '.join(parts)}" if parts else "")
            + (" (was there already)" if self.existed else "")
        )
        return "\n".join([heading, *(f"  {problem}" for problem in self.problems)])


def add_corpus(
    session: Session, name: str, source_path: Path, *, text_field: str = "text"
) -> CorpusReport:
    """Register the texts of a file or folder as a corpus.

    Equal texts are kept once, texts of white space only are left out, and so is what cannot be
    read. Adding the same texts again changes nothing and says so.
    """
    if not name.strip() or name != name.strip() or len(name) > 200:
        raise InvalidInputError(
            f"{name[:50]!r} cannot name a corpus; give 1 to 200 characters without spaces around."
        )
    report = CorpusReport(name=name)
    documents = _documents(read_texts(source_path, text_field=text_field), report)
    present = session.scalar(select(Corpus.id).where(Corpus.name == name))
    if present is not None:
        _check_same(session, name, present, documents)
        report.existed = True
        return report
    with session.begin_nested():
        corpus = Corpus(name=name, source=str(source_path))
        session.add(corpus)
        session.flush()
        copy_rows(
            session,
            Document,
            _COLUMNS,
            (_row(corpus.id, ordinal, *found) for ordinal, found in enumerate(documents)),
        )
        if report.documents == 0:
            raise InvalidInputError(_nothing_in(source_path, report))
    return report


def _documents(
    texts: Iterator[Text | Problem], report: CorpusReport
) -> Iterator[tuple[bytes, Text]]:
    """Yield each different text with its SHA-256, and count everything in the report."""
    seen: set[bytes] = set()
    for text in texts:
        if isinstance(text, Problem):
            report.bad += 1
            if len(report.problems) < SHOWN_PROBLEMS:
                report.problems.append(text)
            continue
        digest = hashlib.sha256(text.text.encode()).digest()
        if not text.text.strip():
            report.empty += 1
        elif digest in seen:
            report.duplicates += 1
        else:
            seen.add(digest)
            report.documents += 1
            report.characters += len(text.text)
            yield digest, text


def _row(corpus_id: int, ordinal: int, digest: bytes, text: Text) -> tuple[object, ...]:
    described = (getattr(text, name) for name in _DESCRIPTION)
    return (corpus_id, ordinal, text.name, digest, text.text, *described)


def _check_same(
    session: Session, name: str, corpus_id: int, documents: Iterator[tuple[bytes, Text]]
) -> None:
    present = select(Document.sha256).where(Document.corpus_id == corpus_id)
    if set(session.scalars(present)) != {digest for digest, _ in documents}:
        raise ConflictError(
            f"There is a corpus {name!r} with other texts; choose another name for this one."
        )


def _nothing_in(source_path: Path, report: CorpusReport) -> str:
    reason = f" (first problem: {report.problems[0]})" if report.problems else ""
    return f"{source_path} holds no text that could be read{reason}; a corpus needs one at least."


def find_corpus(session: Session, name: str) -> Corpus:
    """Return the corpus of that name, or raise with the names there are."""
    corpus = session.scalar(select(Corpus).where(Corpus.name == name))
    if corpus is not None:
        return corpus
    known = list(session.scalars(select(Corpus.name).order_by(Corpus.name).limit(20)))
    raise NotFoundError(
        f"There is no corpus {name!r} here; "
        + (f"there is {', '.join(known)}." if known else "add one with `scopebook corpus add`.")
    )
