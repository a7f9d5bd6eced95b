"""Activations with what is known of their features: which they are, and what is usual for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.activations import Activations
from scopebook.corpus_statistics import SaeStatistics, statistics_of
from scopebook.db.tables import FEATURE_BITS, Sae
from scopebook.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Fired:
    """Activations, each with its feature's row id and what is usual for it, column by column."""

    #: Its number among the tokens of all texts.
    token: NDArray[np.int64]
    feature: NDArray[np.int64]
    value: NDArray[np.float32]
    #: Whether a collection would count it.
    counts: NDArray[np.bool_]
    #: Whether its feature fires on almost anything, or by position.
    quiet: NDArray[np.bool_]
    density: NDArray[np.float32]
    usual: NDArray[np.float32]

    def where(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> "Fired":
        """Return some of them, by a mask or in an order."""
        return Fired(*(getattr(self, field.name)[kept] for field in fields(self)))


def fired_in(
    session: Session, found: Activations, release_id: int, layers: Sequence[int] | None
) -> Fired:
    """Return what fires in some layers, or in all that were run."""
    wanted = list(found.layers) if layers is None else list(layers)
    missing = sorted(set(wanted) - set(found.layers))
    if missing:
        raise InvalidInputError(
            f"Layer {missing[0]} was not run for this text, which has "
            f"{', '.join(map(str, sorted(found.layers)))}; ask again with that layer."
        )
    saes = saes_of(session, release_id, wanted)
    parts = [
        _of_layer(found, layer, saes[layer].id, statistics_of(session, saes[layer]))
        for layer in wanted
    ]
    columns = ([getattr(part, field.name) for part in parts] for field in fields(Fired))
    return Fired(*(np.concatenate(column) for column in columns))


def saes_of(session: Session, release_id: int, layers: Sequence[int]) -> Mapping[int, Sae]:
    """Return the SAE of each layer."""
    rows = session.scalars(select(Sae).where(Sae.release_id == release_id, Sae.layer.in_(layers)))
    return {sae.layer: sae for sae in rows}


def _of_layer(found: Activations, layer: int, sae_id: int, usual: SaeStatistics) -> Fired:
    of_layer = found.layers[layer]
    return Fired(
        token=of_layer.token.astype(np.int64),
        feature=(sae_id << FEATURE_BITS) + of_layer.feature.astype(np.int64),
        value=of_layer.value,
        counts=found.usable(layer)[of_layer.token],
        quiet=usual.quiet[of_layer.feature],
        density=usual.density[of_layer.feature],
        usual=usual.usual[of_layer.feature],
    )
