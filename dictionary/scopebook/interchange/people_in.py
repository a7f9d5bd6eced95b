"""Bring in what people said of the features of layers that come in whole, as said by authors.

What was said of layers that are here already stays in the dump: it rests on labels, senses and
examples that are not these layers' own (decision 14).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from scopebook.corpora import reserve_ids
from scopebook.db.base import Base
from scopebook.db.import_tables import ImportedRow
from scopebook.db.review_tables import (
    Comment,
    CommentVersion,
    ExampleMark,
    FeatureTag,
    GroupingChoice,
    Mention,
    Pin,
    Review,
    SecondOpinion,
)
from scopebook.interchange.authors_in import Authors
from scopebook.interchange.collected_in import CONTEXT
from scopebook.interchange.history_in import bring_history
from scopebook.interchange.import_progress import DumpRow, keep_rows
from scopebook.interchange.importing import BESIDE, Importing
from scopebook.interchange.lists_in import bring_lists
from scopebook.interchange.named_in import COMMENT, OPINION, NamedIn
from scopebook.interchange.row_checks import RefusedRowError, check_count, required
from scopebook.interchange.row_writer import Ready
from scopebook.interchange.said_in import LABEL
from scopebook.interchange.vocabulary_in import bring_vocabulary


def bring_people(importing: Importing) -> None:
    """Add the vocabulary, what people said of features and did to them, and lists."""
    if importing.dump.manifest.version == 1:
        return
    bring_vocabulary(importing)
    for kind in _KINDS:
        importing.read(kind.table, partial(_write, importing, kind))
    with importing.progress.phase("wordless comments") as session:
        if session is not None:
            _leave_out_wordless(session, importing)
    bring_history(importing)
    bring_lists(importing)


def _leave_out_wordless(session: Session, importing: Importing) -> None:
    """Take out comments of which no version came in, since nobody could read or change them."""
    came_in = select(ImportedRow.row_id).where(
        ImportedRow.import_id == importing.import_id, ImportedRow.kind == COMMENT
    )
    said = exists().where(CommentVersion.comment_id == Comment.id)
    wordless = delete(Comment).where(Comment.id.in_(came_in), ~said).returning(Comment.id)
    if found := session.scalars(wordless).all():
        importing.progress.note(f"{len(found):,} comments without any words were left out.")


@dataclass(frozen=True)
class _Kind:
    """One table of the dump: where its rows go, and how they become rows there."""

    table: str
    target: type[Base]
    columns: Sequence[str]
    #: Gives these columns, in order.
    values_of: Callable[[DumpRow, int, NamedIn, Authors], Sequence[Any]]
    #: As what its rows are noted by their numbers, where others name them.
    noted_as: str | None = None


def _write(importing: Importing, kind: _Kind, session: Session, rows: list[DumpRow]) -> None:
    named, authors = _named(session, importing, rows), Authors(session)
    ids = iter(reserve_ids(session, kind.target.__tablename__, len(rows)) if kind.noted_as else ())

    def values_of(row: DumpRow) -> Sequence[Any] | None:
        if importing.sae_of(row).mode == BESIDE:
            return None
        feature_id = importing.feature_of(row)
        values = kind.values_of(row, feature_id, named, authors)
        return (*values, next(ids)) if kind.noted_as else values

    columns = (*kind.columns, "id") if kind.noted_as else kind.columns
    ready = importing.ready(kind.table, rows, values_of)
    written = importing.write(session, kind.table, kind.target, columns, ready)
    if kind.noted_as:
        pairs = [(row.values[kind.noted_as], values[-1]) for row, values in written]
        keep_rows(session, importing.import_id, kind.noted_as, pairs)
    if kind.target is Comment:
        _mention(session, authors, written)


def _named(session: Session, importing: Importing, rows: list[DumpRow]) -> NamedIn:
    numbers = {kind: [row.values.get(kind) for row in rows] for kind in (LABEL, COMMENT, CONTEXT)}
    return NamedIn(session, importing, numbers)


def _review(row: DumpRow, feature_id: int, named: NamedIn, authors: Authors) -> Sequence[Any]:
    label_id = named.of_feature(LABEL, row.values["label"], feature_id)
    return (feature_id, label_id, authors.of(row), *_others(row, "verdict", "reason", "counts"))


def _others(row: DumpRow, *names: str) -> list[Any]:
    """Return columns that are as they were, and the time at which it was said."""
    return [row.values[name] for name in (*names, "created_at")]


def _pin(row: DumpRow, feature_id: int, named: NamedIn, authors: Authors) -> Sequence[Any]:
    values = row.values
    label = values["label"]
    return (
        feature_id,
        named.sense(values["sense_labeling"], values["sense"], feature_id),
        None if label is None else named.of_feature(LABEL, label, feature_id),
        *(authors.of(row), *_others(row, "reason")),
    )


def _grouping(row: DumpRow, feature_id: int, named: NamedIn, authors: Authors) -> Sequence[Any]:
    labeling = row.values["labeling"]
    return (
        feature_id,
        named.run(row.values["run"]),
        None if labeling is None else named.grouping(labeling, feature_id),
        *(authors.of(row), *_others(row)),
    )


def _opinion(row: DumpRow, feature_id: int, _: NamedIn, authors: Authors) -> Sequence[Any]:
    required(row, "opinion")
    return (feature_id, authors.of(row), *_others(row, "reason", "closed_at"))


def _comment(row: DumpRow, feature_id: int, _: NamedIn, authors: Authors) -> Sequence[Any]:
    required(row, "comment", "mentions")
    for name in row.values["mentions"]:
        authors.named(name)
    return (feature_id, authors.of(row), *_others(row))


def _mention(session: Session, authors: Authors, written: Sequence[Ready]) -> None:
    """Note whom the comments speak to: authors there, so that it is nobody's mail here."""
    mentions = [
        {"comment_id": values[-1], "account_id": account_id}
        for row, values in written
        for account_id in {authors.named(name) for name in row.values["mentions"]}
    ]
    if mentions:
        session.execute(insert(Mention), mentions)


def _version(row: DumpRow, feature_id: int, named: NamedIn, authors: Authors) -> Sequence[Any]:
    check_count(row, "number")
    comment_id = named.of_feature(COMMENT, row.values["comment"], feature_id)
    return (comment_id, authors.of(row), *_others(row, "number", "text"))


def _tag(row: DumpRow, feature_id: int, named: NamedIn, authors: Authors) -> Sequence[Any]:
    return (feature_id, named.tag(row.values["tag"]), authors.of(row), *_others(row))


def _mark(row: DumpRow, feature_id: int, named: NamedIn, authors: Authors) -> Sequence[Any]:
    run_id = named.run(row.values["run"])
    if (row.values["position"] or 0) < 0:
        raise RefusedRowError(f"its position {row.values['position']} is none")
    context_id = named.context(row.values["context"])
    return (feature_id, run_id, context_id, authors.of(row), *_others(row, "position"))


#: Columns that most of these tables have.
_OF: Final = "feature_id"
_BY: Final = "account_id"
_WHEN: Final = "created_at"
_KINDS: Final = (
    _Kind(
        "reviews",
        Review,
        (_OF, "label_id", _BY, "verdict", "reason", "counts", _WHEN),
        _review,
    ),
    _Kind("pins", Pin, (_OF, "sense_id", "label_id", _BY, "reason", _WHEN), _pin),
    _Kind("groupings", GroupingChoice, (_OF, "run_id", "labeling_id", _BY, _WHEN), _grouping),
    _Kind(
        "second_opinions",
        SecondOpinion,
        (_OF, _BY, "reason", "closed_at", _WHEN),
        _opinion,
        OPINION,
    ),
    _Kind("comments", Comment, (_OF, _BY, _WHEN), _comment, COMMENT),
    _Kind(
        "comment_versions", CommentVersion, ("comment_id", _BY, "number", "text", _WHEN), _version
    ),
    _Kind("tags", FeatureTag, (_OF, "tag_id", _BY, _WHEN), _tag),
    _Kind("marks", ExampleMark, (_OF, "run_id", "context_id", _BY, "position", _WHEN), _mark),
)
