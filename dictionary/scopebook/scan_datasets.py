"""Texts for a scan: each record's chosen fields as documents of a corpus that scans alone use.

Unlike in a corpus that people register, equal texts stay apart and empty ones stay too: a scan
tells in how many of the examples something fires.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.corpora import reserve_ids
from scopebook.db.tables import Corpus, Document
from scopebook.errors import InvalidInputError
from scopebook.quotas import place_of_texts
from scopebook.text_sources import read_texts
from scopebook.texts import Problem, Reading, Text, text_of

MOST_FIELDS: Final = 8
#: Characters of all texts that one request may bring.
MOST_CHARACTERS: Final = 4_000_000
MOST_RECORDS: Final = 10_000
_PREFIX: Final = "scan: "
_SHOWN_PROBLEMS: Final = 20
_TOGETHER: Final = 512
_COLUMNS: Final = (
    *("id", "corpus_id", "ordinal", "name", "sha256", "text", "title", "tag"),
    *("language", "source", "licence"),
)

#: Reads all records for one of the fields.
_Read = Callable[[str], Iterable[Text | Problem]]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A corpus to be scanned."""

    corpus_id: int
    #: What people call it.
    name: str
    #: Whether scans alone use it.
    owned: bool
    parts: Sequence[str] = ()
    documents: int = 0
    bad: int = 0
    problems: Sequence[Problem] = ()


def add_dataset(
    session: Session, source: Path | str, *, fields: Sequence[str] = (), reading: Reading
) -> Dataset:
    """Take in the texts of a file, a folder or `hf:ID`; each of `fields` is a part of its own."""
    name = str(source) if str(source).startswith("hf:") else Path(source).name or str(source)

    def read(field: str) -> Iterable[Text | Problem]:
        return read_texts(source, replace(reading, text_field=field))

    return _add(session, name, read, _checked(fields), default=reading.text_field)


def add_records(
    session: Session,
    name: str,
    records: Sequence[Mapping[str, Any]],
    *,
    fields: Sequence[str] = (),
) -> Dataset:
    """Take in records that a request brings, as a file of JSON lines would hold them."""
    if len(records) > MOST_RECORDS:
        raise InvalidInputError(
            f"{len(records):,} records are too many for one request; send at most "
            f"{MOST_RECORDS:,}, or register them with `scopebook corpus add`."
        )

    def read(field: str) -> Iterator[Text | Problem]:
        for number, record in enumerate(records, start=1):
            try:
                yield text_of(record, field, f"record {number}")
            except ValueError as error:
                yield Problem(f"record {number}", str(error))

    return _add(session, name, read, _checked(fields), default="text", most=MOST_CHARACTERS)


def _checked(fields: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(field.strip() for field in fields))
    if len(wanted) > MOST_FIELDS or "" in wanted:
        raise InvalidInputError(
            f"{', '.join(fields)[:200]!r} are no fields to compare; name 1 to {MOST_FIELDS}, e.g. "
            "prompt,response or messages.user,messages.assistant."
        )
    return wanted


def _add(
    session: Session,
    name: str,
    read: _Read,
    parts: Sequence[str],
    *,
    default: str,
    most: int | None = None,
) -> Dataset:
    """Write the documents; where the same were scanned before, their corpus is used again."""
    place_of_texts(session, written=False)
    corpus = Corpus(name=f"{_PREFIX}{uuid.uuid4().hex}", source=name)
    session.add(corpus)
    session.flush()
    problems: list[Problem] = []
    digest, documents = hashlib.sha256(), 0
    rows = _rows(read, parts, default, problems, most)
    while batch := list(islice(rows, _TOGETHER)):
        ids = reserve_ids(session, "document", len(batch))
        copy_rows(
            session,
            Document,
            _COLUMNS,
            [
                (row_id, corpus.id, documents + place, *row)
                for place, (row_id, row) in enumerate(zip(ids, batch, strict=True))
            ],
        )
        for row in batch:
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
        documents += len(batch)
    if not documents:
        reason = f" (first problem: {problems[0]})" if problems else ""
        raise InvalidInputError(f"{name} holds no text that could be read{reason}.")
    place_of_texts(session, written=True)
    corpus_id = _named_by(session, corpus, f"{_PREFIX}{name[:150]} {digest.hexdigest()[:12]}")
    return Dataset(
        corpus_id=corpus_id,
        name=name,
        owned=True,
        parts=parts,
        documents=documents,
        bad=len(problems),
        problems=problems[:_SHOWN_PROBLEMS],
    )


def _named_by(session: Session, corpus: Corpus, name: str) -> int:
    """Name a corpus by its content; return the one that has the same, if there is one."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
    known = session.scalar(select(Corpus.id).where(Corpus.name == name))
    if known is None:
        corpus.name = name
        session.flush()
        return corpus.id
    session.delete(corpus)
    session.flush()
    return known


def _rows(
    read: _Read,
    parts: Sequence[str],
    default: str,
    problems: list[Problem],
    most: int | None,
) -> Iterator[tuple[object, ...]]:
    """Yield the columns of each document but for its numbers."""
    characters = 0
    for part in parts or [default]:
        for number, found in enumerate(read(part)):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            characters += len(found.text)
            if most is not None and characters > most:
                raise InvalidInputError(
                    f"The texts hold more than {most:,} characters, which is too much for one "
                    "request; register them with `scopebook corpus add` and scan that corpus."
                )
            # By its place too: equal texts are different examples.
            sha256 = hashlib.sha256(f"{part}\0{number}\0{found.text}".encode()).digest()
            name = f"{found.name} [{part}]" if parts else found.name
            tag = part if parts else found.tag
            described = (found.title, tag, found.language, found.source, found.licence)
            yield (name, sha256, found.text, *described)
