"""The index of label vectors: one for each embedder that has many of them, with their sketches.

A few ten thousand vectors are compared one by one in a moment. More need an index (HNSW), which is
best built after the vectors are there: each vector that comes later costs milliseconds. Where
filters leave some ten thousand features, an index over all of them is of no use and reading their
vectors takes long; a sketch, a bit for each sign, says which of them are worth reading.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Embedder

#: Below this an exact scan is fast, and finds everything.
WORTH_AN_INDEX: Final = 60_000
#: The usual values; see docs/performance.md for what they find.
_M, _EF_CONSTRUCTION = 16, 64
#: An index that has to take in so much more than it holds is built anew instead.
_REBUILD: Final = 0.5
#: Two builders must not work on the same index; the first number is ours alone.
_LOCK: Final = "SELECT pg_advisory_xact_lock(7263013, :embedder_id)"

_SKETCH: Final = """
INSERT INTO label_sketch (embedder_id, feature_id, label_id, sketch)
SELECT v.embedder_id, l.feature_id, l.id, binary_quantize(v.embedding)
FROM label_embedding v JOIN label l ON l.id = v.label_id
WHERE v.embedder_id = :embedder_id AND {which} ORDER BY l.feature_id, l.id
ON CONFLICT DO NOTHING
"""


def index_name(embedder_id: int) -> str:
    """Return the name of an embedder's index."""
    return f"ix_label_embedding_hnsw_{embedder_id}"


def is_indexed(session: Session, embedder_id: int) -> bool:
    """Tell whether an embedder's vectors have an index."""
    found = session.execute(
        text("SELECT to_regclass(:name) IS NOT NULL"), {"name": index_name(embedder_id)}
    )
    return bool(found.scalar_one())


def make_room(session: Session, embedder_id: int, coming: int) -> None:
    """Drop the index if so many vectors are coming that building it anew is faster."""
    if coming and is_indexed(session, embedder_id):
        present = _count(session, embedder_id)
        if coming > _REBUILD * present:
            session.execute(text(f"DROP INDEX IF EXISTS {index_name(embedder_id)}"))


def ensure_index(session: Session, embedder_id: int) -> bool:
    """Build the index where it is worth it and missing; return whether it was built.

    Readers go on meanwhile; who writes vectors waits.
    """
    session.execute(text(_LOCK), {"embedder_id": embedder_id})
    if is_indexed(session, embedder_id) or _count(session, embedder_id) < WORTH_AN_INDEX:
        return False
    dimension = session.get_one(Embedder, embedder_id).dimension
    session.execute(
        text(
            f"CREATE INDEX {index_name(embedder_id)} ON label_embedding"
            f" USING hnsw ((embedding::halfvec({int(dimension)})) halfvec_cosine_ops)"
            f" WITH (m = {_M}, ef_construction = {_EF_CONSTRUCTION})"
            f" WHERE embedder_id = {int(embedder_id)}"
        )
    )
    session.execute(text(_SKETCH.format(which="true")), {"embedder_id": embedder_id})
    return True


def add_sketches(session: Session, embedder_id: int, label_ids: Sequence[int]) -> None:
    """Sketch vectors that were stored after the index was built."""
    if label_ids and is_indexed(session, embedder_id):
        session.execute(
            text(_SKETCH.format(which="v.label_id = ANY(:label_ids)")),
            {"embedder_id": embedder_id, "label_ids": list(label_ids)},
        )


def _count(session: Session, embedder_id: int) -> int:
    counted = session.execute(
        text("SELECT count(*) FROM label_embedding WHERE embedder_id = :embedder_id"),
        {"embedder_id": embedder_id},
    )
    return int(counted.scalar_one())
