"""Read labels and senses: what is in force, and what was ever said; see `scopebook.labelings`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, Labeling, LabelOutcome, Sense
from scopebook.db.review_tables import GroupingChoice
from scopebook.sense_resolution import SenseResolution, resolution_in


@dataclass(frozen=True, kw_only=True)
class LabelView:
    """A proposed wording; `senses` are the ordinals of those it words, none: the whole feature."""

    id: int
    text: str
    description: str | None
    kind: str | None
    confidence: float | None
    source: str
    status: str
    method: str
    senses: list[int]
    n_examples: int | None
    #: The labeling that said it; None for a person or an import.
    labeling_id: int | None
    author: str | None
    created_at: datetime
    current: bool
    provenance: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SenseView:
    """A sense with its label; `members` are positions in the evidence's examples."""

    ordinal: int
    share: float
    keywords: list[str]
    members: list[int]
    #: Of its members those that are shown to who words it, the one most like all others first.
    representatives: list[int]
    #: How well its members stand apart from other senses, -1 to 1; None for an only sense.
    silhouette: float | None
    label: LabelView | None


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """How a feature's examples were parted before anybody worded them."""

    #: On what it fires: `token`, `position` or `context`; None where it was not found out.
    kind: str | None
    #: Share of the clustered examples that are in no sense.
    unassigned: float | None
    #: Positions of examples that nobody who words it sees.
    held_out: list[int]
    #: How far senses of its SAE can be trusted; None where that was not measured.
    resolution: SenseResolution | None
    #: Why no language model is asked about it; None where one may be.
    ineligible: str | None


def _view(row: Row[Any]) -> LabelView:
    label: Label = row.Label
    return LabelView(
        id=label.id,
        text=label.text,
        description=label.description,
        kind=label.kind,
        confidence=label.confidence,
        source=label.source,
        status=label.status,
        method=label.method,
        senses=[] if row.ordinal is None else [row.ordinal, *label.also],
        n_examples=label.n_examples,
        labeling_id=label.labeling_id,
        author=label.author,
        created_at=label.created_at,
        current=label.current,
        provenance=label.provenance | (row.parameters or {}),
    )


_LABELS: Final[Any] = (
    select(Label, Sense.ordinal, Labeling.parameters)
    .outerjoin(Sense, Sense.id == Label.sense_id)
    .outerjoin(Labeling, Labeling.id == Label.labeling_id)
)


def labels_of(session: Session, feature_id: int) -> list[LabelView]:
    """Return every label ever given to the feature or its senses, newest first."""
    rows = session.execute(
        _LABELS.where(Label.feature_id == feature_id).order_by(
            Label.created_at.desc(), Label.id.desc()
        )
    )
    return [_view(row) for row in rows]


def current_labels(session: Session, feature_ids: Sequence[int]) -> dict[int, LabelView]:
    """Return the wording in force of each feature that has one, by feature id."""
    rows = session.execute(
        _LABELS.where(Label.feature_id.in_(feature_ids), Label.current, Label.sense_id.is_(None))
    )
    return {row.Label.feature_id: _view(row) for row in rows}


def labels_in_force(session: Session, feature_ids: Sequence[int]) -> dict[int, list[LabelView]]:
    """Return the wordings in force by feature id: that of the feature first, then its senses'."""
    rows = session.execute(
        _LABELS.where(Label.feature_id.in_(feature_ids), Label.current).order_by(
            Label.sense_id.is_not(None), Label.id
        )
    )
    found: dict[int, list[LabelView]] = {}
    for row in rows:
        found.setdefault(row.Label.feature_id, []).append(_view(row))
    return found


def labels_by_id(session: Session, label_ids: Sequence[int]) -> dict[int, LabelView]:
    """Return labels by their ids."""
    rows = session.execute(_LABELS.where(Label.id.in_(label_ids)))
    return {row.Label.id: _view(row) for row in rows}


def senses_of(session: Session, feature_id: int, run_id: int) -> list[SenseView]:
    """Return the senses of a run's examples, largest first; an only one has the feature's label.

    Senses that one label words are one; so are all of a feature that a language model has worded
    as a whole.
    """
    labeling = labeling_in_force(session, feature_id, run_id)
    if labeling is None:
        return []
    found = session.scalars(
        select(Sense)
        .where(
            Sense.feature_id == feature_id, Sense.labeling_id == (labeling.base_id or labeling.id)
        )
        .order_by(Sense.ordinal)
    ).all()
    rows = session.execute(
        _LABELS.where(Label.sense_id.in_([sense.id for sense in found]), Label.current)
    )
    labels = [_view(row) for row in rows]
    whole = current_labels(session, [feature_id]).get(feature_id)
    if not labels and found and (len(found) == 1 or labeling.source == "llm"):
        return [_one_sense(found, whole)]
    groups = {label.senses[0]: label for label in labels}
    worded = {ordinal for label in labels for ordinal in label.senses}
    return [
        _one_sense(
            [other for other in found if other.ordinal in _covered(sense, label)],
            label,
        )
        for sense in found
        if (label := groups.get(sense.ordinal)) is not None or sense.ordinal not in worded
    ]


def grouping_of(session: Session, feature_id: int, run_id: int) -> Grouping | None:
    """Return how the examples behind `senses_of` were parted; None where nothing is worded."""
    labeling = labeling_in_force(session, feature_id, run_id)
    if labeling is None:
        return None
    outcome = session.get_one(LabelOutcome, (labeling.id, feature_id))
    sorting = session.get_one(Labeling, labeling.base_id or labeling.id)
    return Grouping(
        kind=outcome.kind,
        unassigned=outcome.unassigned,
        held_out=list(outcome.held_out),
        resolution=resolution_in(sorting.parameters),
        ineligible=outcome.reason if outcome.status == "ineligible" else None,
    )


def chosen_grouping(session: Session, feature_id: int, run_id: int) -> int | None:
    """Return the labeling by which a person has parted the run's examples, if that holds."""
    return session.scalar(
        select(GroupingChoice.labeling_id)
        .where(GroupingChoice.feature_id == feature_id, GroupingChoice.run_id == run_id)
        .order_by(GroupingChoice.id.desc())
        .limit(1)
    )


def _covered(sense: Sense, label: LabelView | None) -> list[int]:
    return [sense.ordinal] if label is None else label.senses


def _one_sense(parts: Sequence[Sense], label: LabelView | None) -> SenseView:
    keywords = (word for part in parts for word in part.keywords)
    return SenseView(
        ordinal=parts[0].ordinal,
        share=sum(part.share for part in parts),
        keywords=list(dict.fromkeys(keywords)),
        members=sorted(member for part in parts for member in part.members),
        representatives=[place for part in parts for place in part.representatives],
        # Of senses that one label joins, nothing says how well they stand apart together.
        silhouette=parts[0].silhouette if len(parts) == 1 else None,
        label=label,
    )


def labeling_in_force(session: Session, feature_id: int, run_id: int) -> Labeling | None:
    """Return the person's that holds, else the one whose label is in force, else the newest."""
    chosen = chosen_grouping(session, feature_id, run_id)
    if chosen is not None:
        return session.get_one(Labeling, chosen)
    in_force = select(Label.labeling_id).where(
        Label.feature_id == feature_id, Label.current, Label.labeling_id.is_not(None)
    )
    return session.scalar(
        select(Labeling)
        .join(LabelOutcome, LabelOutcome.labeling_id == Labeling.id)
        .where(
            LabelOutcome.feature_id == feature_id,
            Labeling.run_id == run_id,
            Labeling.source != "person",
        )
        .order_by(Labeling.id.in_(in_force).desc(), Labeling.id.desc())
        .limit(1)
    )
