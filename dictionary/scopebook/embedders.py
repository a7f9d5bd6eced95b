"""Embedders of labels: which one is in use, and the vectors it has given to labels."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Embedder, Label, LabelEmbedding
from scopebook.settings import Settings
from scopebook.vector_index import add_sketches

#: Rows of one INSERT: Postgres takes 65,535 parameters at most.
_ROWS: Final = 5_000


def embedder_name(settings: Settings) -> str:
    """Return the name under which the settings' embedder is registered."""
    if settings.embeddings_url is None:
        return settings.embedder
    address = urlsplit(settings.embeddings_url)
    host = address.netloc.rsplit("@", 1)[-1]
    return f"{settings.embeddings_model or 'default model'} at {host}{address.path.rstrip('/')}"


def server_sha256(settings: Settings) -> str:
    """Return what stands for the hash of a server's weights, which nobody here can see."""
    return hashlib.sha256(f"server {embedder_name(settings)}".encode()).hexdigest()


def current_embedder(session: Session, settings: Settings) -> Embedder | None:
    """Return the embedder the settings name, if it is ready: exported, or a server."""
    return session.scalars(
        select(Embedder)
        .where(Embedder.name == embedder_name(settings))
        .where(Embedder.artifact.is_not(None) | (settings.embeddings_url is not None))
        .order_by(Embedder.id.desc())
        .limit(1)
    ).one_or_none()


def register_embedder(
    session: Session, *, name: str, sha256: str, dimension: int, artifact: str | None
) -> Embedder:
    """Add an embedder, or note under which name and where the one with this hash is used now."""
    values = {"name": name, "dimension": dimension, "artifact": artifact}
    embedder_id = session.execute(
        insert(Embedder)
        .values(sha256=sha256, **values)
        .on_conflict_do_update(index_elements=[Embedder.sha256], set_=values)
        .returning(Embedder.id)
    ).scalar_one()
    session.expire_all()
    return session.get_one(Embedder, embedder_id)


def texts_without_vector(
    session: Session, embedder_id: int, sae_ids: Sequence[int], *, limit: int
) -> list[str]:
    """Return distinct texts of current labels, in order, that lack this embedder's vector."""
    return list(
        session.scalars(
            select(Label.text)
            .where(*_lacking(embedder_id, sae_ids))
            .distinct()
            .order_by(Label.text)
            .limit(limit)
        )
    )


def count_without_vector(session: Session, embedder_id: int, sae_ids: Sequence[int]) -> int:
    """Return how many distinct texts lack this embedder's vector."""
    return session.execute(
        select(func.count(Label.text.distinct())).where(*_lacking(embedder_id, sae_ids))
    ).scalar_one()


def _lacking(embedder_id: int, sae_ids: Sequence[int]) -> tuple[Any, ...]:
    known = select(LabelEmbedding.label_id).where(
        LabelEmbedding.label_id == Label.id, LabelEmbedding.embedder_id == embedder_id
    )
    return (Label.current, Label.sae_id.in_(sae_ids), ~known.exists())


def store_vectors(
    session: Session,
    embedder_id: int,
    sae_ids: Sequence[int],
    vectors: Mapping[str, Sequence[float]],
) -> int:
    """Give the current labels with these texts their unit vectors; return how many got one."""
    rows = session.execute(
        select(Label.id, Label.sae_id, Label.text).where(
            *_lacking(embedder_id, sae_ids), Label.text.in_(list(vectors))
        )
    ).all()
    new = [
        {
            "label_id": row.id,
            "embedder_id": embedder_id,
            "sae_id": row.sae_id,
            "embedding": vectors[row.text],
        }
        for row in rows
    ]
    for start in range(0, len(new), _ROWS):
        session.execute(insert(LabelEmbedding).on_conflict_do_nothing(), new[start : start + _ROWS])
    add_sketches(session, embedder_id, [row["label_id"] for row in new])
    return len(new)
