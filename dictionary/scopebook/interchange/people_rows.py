"""Rows of a dump's tables of what people with accounts said, and of what they put together."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from scopebook.db.review_tables import Tag
from scopebook.interchange.arrays import as_json
from scopebook.interchange.collected_rows import named
from scopebook.interchange.numbering import Numbers, stream

Rows = Iterator[Sequence[Any]]

#: An author is a name: that of the account, or the one that it had where it comes from.
NAME: Final = "coalesce({0}.imported_name, {0}.name)"
_BY: Final = NAME.format("a")
#: The features of one SAE, in the order in which people spoke.
_OF_SAE: Final = "{0}.feature_id >= :first_id AND {0}.feature_id < :end_id"

_REVIEWS: Final = f"""
SELECT r.feature_id, o.number, b.text, {_BY}, r.verdict, r.reason, r.counts, r.created_at
FROM review r
JOIN label b ON b.id = r.label_id
JOIN out_label o ON o.id = b.id
JOIN account a ON a.id = r.account_id
WHERE {_OF_SAE.format("r")} ORDER BY r.feature_id, r.id
"""

_PINS: Final = f"""
SELECT p.feature_id, n.labeling_id, n.ordinal, o.number, {_BY}, p.reason, p.created_at
FROM pin p
LEFT JOIN sense n ON n.id = p.sense_id
LEFT JOIN out_label o ON o.id = p.label_id
JOIN account a ON a.id = p.account_id
WHERE {_OF_SAE.format("p")} ORDER BY p.feature_id, p.id
"""

_GROUPINGS: Final = f"""
SELECT g.feature_id, g.run_id, g.labeling_id, {_BY}, g.created_at
FROM grouping_choice g JOIN account a ON a.id = g.account_id
WHERE {_OF_SAE.format("g")} ORDER BY g.feature_id, g.id
"""

_OPINIONS: Final = f"""
SELECT o.number, s.feature_id, {_BY}, s.reason, s.created_at, s.closed_at
FROM second_opinion s
JOIN out_opinion o ON o.id = s.id
JOIN account a ON a.id = s.account_id
WHERE {_OF_SAE.format("s")} ORDER BY o.number
"""

_COMMENTS: Final = f"""
SELECT o.number, c.feature_id, {_BY},
       ARRAY(SELECT DISTINCT {NAME.format("t")} COLLATE "C" FROM mention m
             JOIN account t ON t.id = m.account_id WHERE m.comment_id = c.id ORDER BY 1),
       c.created_at
FROM comment c
JOIN out_comment o ON o.id = c.id
JOIN account a ON a.id = c.account_id
WHERE {_OF_SAE.format("c")} ORDER BY o.number
"""

_COMMENT_VERSIONS: Final = f"""
SELECT o.number, c.feature_id, v.number, v.text, {_BY}, v.created_at
FROM comment c
JOIN out_comment o ON o.id = c.id
JOIN comment_version v ON v.comment_id = c.id
JOIN account a ON a.id = v.account_id
WHERE {_OF_SAE.format("c")} ORDER BY o.number, v.number
"""

_TAGS: Final = f"""
SELECT t.feature_id, w.name, {_BY}, t.created_at
FROM feature_tag t
JOIN tag w ON w.id = t.tag_id
JOIN account a ON a.id = t.account_id
WHERE {_OF_SAE.format("t")} ORDER BY t.feature_id, w.name COLLATE "C"
"""

_MARKS: Final = f"""
SELECT m.feature_id, m.run_id, o.number, m.position, {_BY}, m.created_at
FROM example_mark m
JOIN out_context o ON o.id = m.context_id
JOIN account a ON a.id = m.account_id
WHERE {_OF_SAE.format("m")} ORDER BY m.feature_id, m.run_id, m.position
"""


def _rows(session: Session, numbers: Numbers, query: str, *, before: int = 0) -> Rows:
    """Yield rows with the columns that name their feature; `before` columns stand before these."""
    for sae in numbers.saes:
        ids = {"first_id": sae.first_id, "end_id": sae.end_id}
        for row in stream(session, text(query), ids):
            index = row[before] - sae.first_id
            yield (*row[:before], *named(sae, index), *row[before + 1 :])


def review_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield every verdict, in the order in which they were given."""
    return _rows(session, numbers, _REVIEWS)


def pin_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield every pin, in the order in which they were set."""
    for *feature, labeling, sense, label, by, reason, at in _rows(session, numbers, _PINS):
        yield (*feature, numbers.labelings.get(labeling), sense, label, by, reason, at)


def grouping_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield which senses were chosen, in the order of the choices."""
    for *feature, run, labeling, by, at in _rows(session, numbers, _GROUPINGS):
        yield (*feature, numbers.runs.get(run), numbers.labelings.get(labeling), by, at)


def opinion_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the wishes for second opinions."""
    return _rows(session, numbers, _OPINIONS, before=1)


def comment_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the comments without their words."""
    return _rows(session, numbers, _COMMENTS, before=1)


def comment_version_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield every version of every comment."""
    return _rows(session, numbers, _COMMENT_VERSIONS, before=1)


def tag_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the tags that features have."""
    return _rows(session, numbers, _TAGS)


def mark_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the examples that are marked."""
    for *feature, run, context, position, by, at in _rows(session, numbers, _MARKS):
        yield (*feature, numbers.runs.get(run), context, position, by, at)


def word_rows(session: Session, _: Numbers) -> Rows:
    """Yield the team's vocabulary."""
    yield from session.execute(
        select(Tag.name, Tag.description, Tag.retired_at, Tag.created_at).order_by(
            Tag.name.collate("C")
        )
    )


_BULKS: Final = f"""
SELECT o.number, {_BY}, b.action, b.created_at, b.applied_at, b.undone_at
FROM bulk_action b
JOIN out_bulk o ON o.id = b.id
JOIN account a ON a.id = b.account_id
ORDER BY o.number
"""


def bulk_rows(session: Session, _: Numbers) -> Rows:
    """Yield the actions on many features; their tokens, by which previews are found, stay."""
    for number, by, action, *times in stream(session, text(_BULKS)):
        yield (number, by, as_json(action), *times)


_LISTS: Final = f"""
SELECT o.number, {_BY}, l.name, l.description, l.shared, l.search, l.version, l.created_at,
       l.changed_at
FROM feature_list l
JOIN out_list o ON o.id = l.id
JOIN account a ON a.id = l.owner_id
ORDER BY o.number
"""

_ITEMS: Final = f"""
SELECT o.number, i.feature_id, i.place, i.note, {_BY}, i.added_at
FROM feature_list_item i
JOIN out_list o ON o.id = i.list_id
JOIN account a ON a.id = i.added_by
WHERE {_OF_SAE.format("i")} ORDER BY i.feature_id, o.number
"""


def list_rows(session: Session, _: Numbers) -> Rows:
    """Yield the lists."""
    for *head, search, version, created_at, changed_at in stream(session, text(_LISTS)):
        kept = None if search is None else as_json(search)
        yield (*head, kept, version, created_at, changed_at)


def item_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the features of lists, as far as they are of the dump."""
    return _rows(session, numbers, _ITEMS, before=1)
