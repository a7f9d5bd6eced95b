"""Which labels speak of each sense of a feature: in force, pinned, proposed or rejected."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label
from scopebook.db.review_tables import Pin
from scopebook.labels import LabelView, SenseView, senses_of


@dataclass(frozen=True, kw_only=True)
class SenseLabels:
    """What is said of one sense, by the ids of labels."""

    #: The sense itself: an ordinal is another sense's once somebody parts them anew.
    id: int
    ordinal: int
    #: None: no label of its own is in force.
    label_id: int | None
    pinned: int | None
    #: Not in force, newest first; somebody's verdict on each stands.
    others: list[int]


def sense_labels(
    session: Session, feature_id: int, run_id: int, labels: Sequence[LabelView]
) -> list[SenseLabels]:
    """Return the shown senses with those of `labels` that speak of them, the largest first.

    Labels of senses that are not shown any more are of none of them.
    """
    rows = session.execute(
        select(Label.id, Label.sense_id).where(
            Label.id.in_([label.id for label in labels]), Label.sense_id.is_not(None)
        )
    )
    sense_of = {row.id: row.sense_id for row in rows}
    pins = _pins(session, feature_id)
    return [
        _said_of(sense, [it for it in labels if sense_of.get(it.id) in sense.parts], pins)
        for sense in senses_of(session, feature_id, run_id)
    ]


def _said_of(sense: SenseView, labels: Sequence[LabelView], pins: dict[int, int]) -> SenseLabels:
    return SenseLabels(
        id=sense.parts[0],
        ordinal=sense.ordinal,
        label_id=sense.label.id if sense.label and sense.label.senses else None,
        pinned=pins.get(sense.parts[0]),
        others=[label.id for label in labels if not label.current],
    )


def _pins(session: Session, feature_id: int) -> dict[int, int]:
    """Return the labels that are pinned for senses of a feature, by the sense."""
    rows = session.execute(
        select(Pin.sense_id, Pin.label_id)
        .where(Pin.feature_id == feature_id, Pin.sense_id.is_not(None))
        .ext(distinct_on(Pin.sense_id))
        .order_by(Pin.sense_id, Pin.id.desc())
    )
    return {
        row.sense_id: row.label_id
        for row in rows
        if row.sense_id is not None and row.label_id is not None
    }
