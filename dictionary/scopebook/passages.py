"""Parts of documents' texts, cut by Postgres: documents may be long."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from scopebook.db.tables import Document


def read_passages(
    session: Session, documents: Sequence[int], starts: Sequence[int], lengths: Sequence[int]
) -> list[str]:
    """Return so many characters of each document from `start` on, or fewer where it ends.

    The arguments go to the server as three arrays: a row of values for each would take longer to
    compile than to run.
    """
    wanted = (
        func.unnest(
            _array(documents, BigInteger), _array(starts, Integer), _array(lengths, Integer)
        )
        .table_valued("document_id", "start", "length", with_ordinality="place", name="wanted")
        .render_derived()
    )
    rows = session.execute(
        select(func.substr(Document.text, wanted.c.start + 1, wanted.c.length))
        .select_from(wanted)
        .join(Document, Document.id == wanted.c.document_id)
        .order_by(wanted.c.place)
    )
    return [text for (text,) in rows]


def _array(numbers: Sequence[int], kind: Any) -> Any:
    return literal(list(numbers), ARRAY(kind))
