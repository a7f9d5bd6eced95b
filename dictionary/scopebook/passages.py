"""Parts of documents' texts, cut by Postgres: documents may be long."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, bindparam, func, select
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
    given = {"documents": list(documents), "starts": list(starts), "lengths": list(lengths)}
    return [text for (text,) in session.execute(_PASSAGES, given)]


def _array(name: str, kind: Any) -> Any:
    return bindparam(name, type_=ARRAY(kind))


_WANTED: Final = (
    func.unnest(
        _array("documents", BigInteger), _array("starts", Integer), _array("lengths", Integer)
    )
    .table_valued("document_id", "start", "length", with_ordinality="place", name="wanted")
    .render_derived()
)
_PASSAGES: Final = (
    select(func.substr(Document.text, _WANTED.c.start + 1, _WANTED.c.length))
    .select_from(_WANTED)
    .join(Document, Document.id == _WANTED.c.document_id)
    .order_by(_WANTED.c.place)
)
