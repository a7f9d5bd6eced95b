"""Features that fire on the same tokens, as counted in a run's panel."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.db.label_tables import CoFiring, Panel
from scopebook.db.tables import FEATURE_BITS
from scopebook.labels import LabelView, current_labels
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


def read_co_firing(
    session: Session, wanted: FeatureId, feature_id: int, run_id: int
) -> CoFiringView | None:
    """Return what fires together with a feature; None where it was not counted."""
    sae_id = feature_id >> FEATURE_BITS
    panel = session.get(Panel, (run_id, sae_id))
    if panel is None or panel.tokens is None:
        return None
    counted = session.execute(
        select(CoFiring.fires, CoFiring.partners).where(
            CoFiring.run_id == run_id, CoFiring.feature_id == feature_id
        )
    ).one_or_none()
    pairs = unpack_pairs(counted.partners) if counted else []
    ids = {index: (sae_id << FEATURE_BITS) | index for index, _ in pairs}
    labels = current_labels(session, list(ids.values()))
    return CoFiringView(
        contexts=panel.contexts,
        tokens=panel.tokens,
        fires=counted.fires if counted else 0,
        partners=[
            Partner(
                id=str(FeatureId(wanted.model, wanted.layer, wanted.set_name, index)),
                layer=wanted.layer,
                set_name=wanted.set_name,
                index=index,
                share=share,
                label=labels.get(ids[index]),
            )
            for index, share in pairs
        ],
    )
