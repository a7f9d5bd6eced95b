"""Show where a feature fires in a scanned document: the token, and some text on either side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.arrays import among
from scopebook.db.tables import Context, Document
from scopebook.packing import unpack_ints
from scopebook.passages import read_passages
from scopebook.scan_views import Snippet

#: Characters shown before and after the token.
BEFORE: Final = 90
AFTER: Final = 60


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A document that fires a feature."""

    part: str
    document_id: int
    tokens: int
    activation: float
    context_id: int
    #: Position of the strongest token in its context.
    peak: int


def read_snippets(session: Session, hits: Sequence[Hit]) -> list[Snippet]:
    """Return the passages around the hits, in their order; those of texts that are gone are not."""
    context_ids = sorted({hit.context_id for hit in hits})
    spans = {
        row.id: unpack_ints(row.spans).reshape(-1, 2)
        for row in session.execute(
            select(Context.id, Context.spans).where(among(Context.id, context_ids))
        )
    }
    names = {
        row.id: row.name
        for row in session.execute(
            select(Document.id, Document.name).where(
                among(Document.id, sorted({hit.document_id for hit in hits}))
            )
        )
    }
    there = [hit for hit in hits if hit.context_id in spans and hit.document_id in names]
    borders = [spans[hit.context_id][hit.peak].tolist() for hit in there]
    starts = [max(0, first - BEFORE) for first, _ in borders]
    lengths = [last + AFTER - start for start, (_, last) in zip(starts, borders, strict=True)]
    texts = read_passages(session, [hit.document_id for hit in there], starts, lengths)
    return [
        Snippet(
            document_id=hit.document_id,
            document=names[hit.document_id],
            part=hit.part,
            activation=hit.activation,
            tokens=hit.tokens,
            before=text[: first - start],
            peak=text[first - start : last - start],
            after=text[last - start :],
        )
        for hit, (first, last), start, text in zip(there, borders, starts, texts, strict=True)
    ]
