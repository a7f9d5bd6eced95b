"""Rows of a dump's tables of what people with accounts said."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.interchange.collected_rows import named
from scopebook.interchange.numbering import Numbers, stream

Rows = Iterator[Sequence[Any]]

_REVIEWS: Final = """
SELECT r.feature_id, o.number, b.text, a.name, r.verdict, r.reason, r.counts, r.created_at
FROM review r
JOIN label b ON b.id = r.label_id
JOIN out_label o ON o.id = b.id
JOIN account a ON a.id = r.account_id
WHERE b.sae_id = :sae_id ORDER BY r.feature_id, r.id
"""

_COMMENTS: Final = """
SELECT c.feature_id, dense_rank() OVER (ORDER BY c.feature_id, c.id), v.number, v.text, a.name,
       v.created_at
FROM comment c
JOIN feature f ON f.id = c.feature_id
JOIN comment_version v ON v.comment_id = c.id
JOIN account a ON a.id = v.account_id
WHERE f.sae_id = :sae_id ORDER BY c.feature_id, c.id, v.number
"""

_TAGS: Final = """
SELECT t.feature_id, w.name, w.description, w.retired_at, a.name, t.created_at
FROM feature_tag t
JOIN feature f ON f.id = t.feature_id
JOIN tag w ON w.id = t.tag_id
JOIN account a ON a.id = t.account_id
WHERE f.sae_id = :sae_id ORDER BY t.feature_id, w.name
"""


def _rows(session: Session, numbers: Numbers, query: str) -> Rows:
    for sae in numbers.saes:
        for feature_id, *others in stream(session, text(query), {"sae_id": sae.id}):
            yield (*named(sae, feature_id - sae.first_id), *others)


def review_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield every verdict, in the order in which they were given."""
    return _rows(session, numbers, _REVIEWS)


def comment_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield every version of every comment; comments are counted within their SAE."""
    return _rows(session, numbers, _COMMENTS)


def tag_rows(session: Session, numbers: Numbers) -> Rows:
    """Yield the tags that features have."""
    return _rows(session, numbers, _TAGS)
