"""Show scanned documents: their texts, and where a feature fires in them, with what is around."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.db.arrays import among
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import Context, Document
from scopebook.errors import NotFoundError
from scopebook.packing import unpack_ints
from scopebook.passages import read_passages
from scopebook.scan_views import ScannedDocument, Snippet

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


def read_scanned_document(
    session: Session, scan: Scan, document_id: int, *, start: int = 0, length: int = 4000
) -> ScannedDocument:
    """Return a document of a scan with at most `length` characters of its text.

    Raises:
        NotFoundError: The scan holds no such document.
    """
    row = session.execute(
        select(Document.name, Document.tag, func.length(Document.text).label("characters")).where(
            Document.id == document_id, Document.corpus_id == scan.corpus_id
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"Scan {scan.id} has no document {document_id}; "
            f"`GET /api/scans/{scan.id}/hits` names documents of its features."
        )
    [text] = read_passages(session, [document_id], [start], [length])
    return ScannedDocument(
        id=document_id,
        name=row.name,
        part=row.tag if row.tag in scan.parts else "",
        characters=row.characters,
        start=start,
        text=text,
    )
