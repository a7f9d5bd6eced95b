"""Features that fire on the same tokens, as counted in a run's panel."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.label_tables import CoFiring, Panel
from scopebook.db.tables import FEATURE_BITS
from scopebook.labels import LabelView
from scopebook.packing import unpack_pairs
from scopebook.release_names import FeatureId


@dataclass(frozen=True, kw_only=True)
class Partner:
    """A feature of the same layer that fires where another one does."""

    id: str
    layer: int
    set_name: str
    index: int
    #: Tokens on which both fire, of those on which either does.
    share: float
    label: LabelView | None


@dataclass(frozen=True, kw_only=True)
class CoFiringView:
    """What fires together with a feature in the tokens of a panel."""

    contexts: int
    tokens: int
    #: Of these tokens, those on which the feature fires.
    fires: int
    partners: list[Partner]


def write_co_firing(
    session: Session, run_id: int, sae_id: int, rows: Iterable[tuple[int, int, bytes]]
) -> None:
    """Write an SAE's rows in place of those there are: index, tokens it fires on, packed pairs."""
    first = sae_id << FEATURE_BITS
    of_sae = CoFiring.feature_id.between(first, first + (1 << FEATURE_BITS) - 1)
    session.execute(delete(CoFiring).where(CoFiring.run_id == run_id, of_sae))
    columns = ("run_id", "feature_id", "fires", "partners")
    copy_rows(
        session,
        CoFiring,
        columns,
        ((run_id, first | index, fires, packed) for index, fires, packed in rows),
    )


@dataclass(frozen=True)
class CoFired:
    """What was counted of a feature: partners are pairs of index and share."""

    contexts: int
    tokens: int
    fires: int
    pairs: Sequence[tuple[int, float]]


#: Columns of a query that joins a feature's panel, where it was counted, and what was counted.
CO_FIRED: Final[tuple[Any, ...]] = (
    Panel.contexts.label("panel_contexts"),
    Panel.tokens.label("panel_tokens"),
    CoFiring.fires,
    CoFiring.partners,
)


def co_fired_in(row: Any) -> CoFired | None:
    """Return what fires together with a feature, from a row of `CO_FIRED`; None: not counted."""
    if row.panel_tokens is None:
        return None
    pairs = [] if row.partners is None else unpack_pairs(row.partners)
    return CoFired(row.panel_contexts, row.panel_tokens, row.fires or 0, pairs)


def view_of_co_firing(
    fired: CoFired, wanted: FeatureId, labels: Mapping[int, LabelView]
) -> CoFiringView:
    """Return what was counted as it is shown, with the labels of features by their indexes."""
    return CoFiringView(
        contexts=fired.contexts,
        tokens=fired.tokens,
        fires=fired.fires,
        partners=[
            Partner(
                id=str(FeatureId(wanted.model, wanted.layer, wanted.set_name, index)),
                layer=wanted.layer,
                set_name=wanted.set_name,
                index=index,
                share=share,
                label=labels.get(index),
            )
            for index, share in fired.pairs
        ],
    )
