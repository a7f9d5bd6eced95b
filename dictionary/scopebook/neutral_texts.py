"""Texts of a collection that steering is not about, and how long the residual is on them."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from scopebook.db.preset_tables import ResidualNorm
from scopebook.db.tables import Context, Run, Sae
from scopebook.packing import unpack_ints

#: Contexts of the corpus, and tokens of each.
NEUTRAL_TEXTS: Final = 12
NEUTRAL_TOKENS: Final = 64


def neutral_tokenisation(session: Session, release_id: int, layers: Sequence[int]) -> int | None:
    """Return the tokenised corpus that the dictionary shows of these layers; None: none is."""
    return session.scalar(
        select(Run.tokenisation_id)
        .join(Sae, Sae.current_run_id == Run.id)
        .where(Sae.release_id == release_id, Sae.layer.in_(layers))
        .order_by(Sae.layer)
        .limit(1)
    )


def neutral_texts(session: Session, tokenisation_id: int | None) -> list[NDArray[np.int32]]:
    """Return the token ids of beginnings of contexts that lie evenly over a corpus."""
    if tokenisation_id is None:
        return []
    of_corpus = Context.tokenisation_id == tokenisation_id
    first, last = session.execute(
        select(func.min(Context.id), func.max(Context.id)).where(of_corpus)
    ).one()
    found: dict[int, bytes] = {}
    for start in np.linspace(first or 0, last or 0, NEUTRAL_TEXTS, dtype=np.int64).tolist():
        following = select(Context.id, Context.tokens).where(of_corpus, Context.id >= start)
        for row in session.execute(following.order_by(Context.id).limit(1)):
            found[row.id] = row.tokens
    return [unpack_ints(packed)[:NEUTRAL_TOKENS] for packed in found.values()]


def known_norms(
    session: Session, *, model_id: int, tokenisation_id: int | None, layers: Sequence[int]
) -> dict[int, float]:
    """Return the mean norms of the residual that were measured by now, by layer."""
    rows = session.execute(
        select(ResidualNorm.layer, ResidualNorm.norm).where(
            ResidualNorm.model_id == model_id,
            ResidualNorm.tokenisation_id == tokenisation_id,
            ResidualNorm.layer.in_(layers),
        )
    )
    return {row.layer: row.norm for row in rows}


def keep_norms(
    session: Session, *, model_id: int, tokenisation_id: int, norms: Mapping[int, float]
) -> None:
    """Keep measured norms by layer; the first that is measured stays, so that none changes."""
    if not norms:
        return
    rows = [
        {"model_id": model_id, "tokenisation_id": tokenisation_id, "layer": layer, "norm": norm}
        for layer, norm in sorted(norms.items())
    ]
    session.execute(insert(ResidualNorm).on_conflict_do_nothing(), rows)
