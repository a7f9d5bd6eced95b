"""Vectors of windows by the embedder that made them, so that none is computed or paid for twice."""

import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, exists, select, text
from sqlalchemy.orm import Session

from scopebook.db.jobs import Step
from scopebook.db.label_tables import Labeling, WindowVector
from scopebook.jobs import LABEL_SAE, LABEL_SAE_BY_MODEL
from scopebook.labeling_requests import EMBEDDER

#: In the order of the key: two workers that write the same rows then never wait for each other
#: in a circle.
_ADD = """
INSERT INTO window_vector (embedder, "window", vector)
SELECT :embedder, w, v
FROM unnest(CAST(:windows AS bytea[]), CAST(:vectors AS bytea[])) AS new (w, v)
ORDER BY w
ON CONFLICT DO NOTHING
"""


def embedder_key(embedder_id: str) -> bytes:
    """Return the 16 bytes under which an embedder's vectors are kept."""
    return hashlib.sha256(embedder_id.encode()).digest()[:16]


def kept_vectors(
    session: Session, embedder_id: str, windows: Sequence[bytes]
) -> dict[bytes, bytes]:
    """Return the vectors that are kept of these windows: half precision, little-endian."""
    rows = session.execute(
        select(WindowVector.window, WindowVector.vector).where(
            WindowVector.embedder == embedder_key(embedder_id),
            WindowVector.window.in_(windows),
        )
    )
    return {row.window: row.vector for row in rows}


def keep_vectors(session: Session, embedder_id: str, vectors: Mapping[bytes, bytes]) -> None:
    """Keep vectors by window, all in one statement; of one that is kept already, that one."""
    values = {
        "embedder": embedder_key(embedder_id),
        "windows": list(vectors.keys()),
        "vectors": list(vectors.values()),
    }
    session.execute(text(_ADD), values)


def remove_unused_vectors(session: Session) -> int:
    """Remove the vectors of embedders that no labeling names; return how many there were.

    While a step that names an embedder is not done, all stay: it goes on from them.
    """
    waiting = exists().where(
        Step.kind.in_((LABEL_SAE, LABEL_SAE_BY_MODEL)),
        Step.parameters.has_key(EMBEDDER),
        Step.state.not_in(("done", "cancelled")),
    )
    if session.scalar(select(waiting)):
        return 0
    named = session.scalars(select(Labeling.parameters["embedder"].astext).distinct())
    used = {embedder_key(embedder_id) for embedder_id in named if embedder_id is not None}
    removed = 0
    for embedder in set(_embedders(session)) - used:
        deleted = session.execute(
            delete(WindowVector)
            .where(WindowVector.embedder == embedder)
            .returning(WindowVector.embedder)
        )
        removed += len(deleted.all())
    return removed


def _embedders(session: Session) -> list[bytes]:
    """Return the embedders with vectors, one look into the index for each."""
    found: list[bytes] = []
    while True:
        following = session.scalar(
            select(WindowVector.embedder)
            .where(WindowVector.embedder > (found[-1] if found else b""))
            .order_by(WindowVector.embedder)
            .limit(1)
        )
        if following is None:
            return found
        found.append(following)
