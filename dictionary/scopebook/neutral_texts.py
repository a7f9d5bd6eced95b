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


def shown_tokenisations(session: Session, release_id: int, layers: Sequence[int]) -> dict[int, int]:
    """Return the tokenised corpus that the dictionary shows of each layer, where one is."""
    rows = session.execute(
        select(Sae.layer, Run.tokenisation_id)
        .join(Sae, Sae.current_run_id == Run.id)
        .where(Sae.release_id == release_id, Sae.layer.in_(layers))
        .order_by(Sae.layer)
    )
    return {row.layer: row.tokenisation_id for row in rows}


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
    session: Session, *, model_id: int, tokenisations: Mapping[int, int]
) -> dict[int, float]:
    """Return the mean norms that were measured by now, by layer, each on its layer's corpus."""
    rows = session.execute(
        select(ResidualNorm.layer, ResidualNorm.tokenisation_id, ResidualNorm.norm).where(
            ResidualNorm.model_id == model_id, ResidualNorm.layer.in_(tokenisations)
        )
    )
    return {row.layer: row.norm for row in rows if tokenisations[row.layer] == row.tokenisation_id}


def keep_norms(
    session: Session,
    *,
    model_id: int,
    tokenisations: Mapping[int, int],
    norms: Mapping[int, float],
) -> None:
    """Keep measured norms by layer; the first that is measured stays, so that none changes."""
    if not norms:
        return
    rows = [
        {
            "model_id": model_id,
            "tokenisation_id": tokenisations[layer],
            "layer": layer,
            "norm": norm,
        }
        for layer, norm in sorted(norms.items())
    ]
    session.execute(insert(ResidualNorm).on_conflict_do_nothing(), rows)
