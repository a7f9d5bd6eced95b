"""Read labels and senses: what is in force, and what was ever said; see `scopebook.labelings`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from scopebook.db.arrays import among, among_given
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

    #: The rows that it is: several where one label words them all.
    parts: list[int]
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
    return LabelView(
        id=row.id,
        text=row.text,
        description=row.description,
        kind=row.kind,
        confidence=row.confidence,
        source=row.source,
        status=row.status,
        method=row.method,
        senses=[] if row.ordinal is None else [row.ordinal, *row.also],
        n_examples=row.n_examples,
        labeling_id=row.labeling_id,
        author=row.author,
        created_at=row.created_at,
        current=row.current,
        provenance=row.provenance | (row.parameters or {}),
    )


# Columns: objects that could be changed take longer to make, and lists read hundreds of rows.
_LABELS: Final[Any] = (
    select(
        Label.id,
        Label.feature_id,
        Label.sense_id,
        Label.also,
        Label.text,
        Label.description,
        Label.kind,
        Label.confidence,
        Label.source,
        Label.status,
        Label.method,
        Label.n_examples,
        Label.labeling_id,
        Label.author,
        Label.created_at,
        Label.current,
        Label.provenance,
        Sense.ordinal,
        Labeling.parameters,
    )
    .outerjoin(Sense, Sense.id == Label.sense_id)
    .outerjoin(Labeling, Labeling.id == Label.labeling_id)
)
_GIVEN: Final[Any] = _LABELS.where(Label.feature_id == bindparam("feature")).order_by(
    Label.created_at.desc(), Label.id.desc()
)
_CURRENT: Final[Any] = _LABELS.where(
    among_given(Label.feature_id), Label.current, Label.sense_id.is_(None)
)


@dataclass(frozen=True)
class GivenLabel:
    """A label with the sense that it was given to; None: the whole feature."""

    view: LabelView
    sense_id: int | None


def given_labels(session: Session, feature_id: int) -> list[GivenLabel]:
    """Return every label ever given to the feature or its senses, newest first."""
    rows = session.execute(_GIVEN, {"feature": feature_id})
    return [GivenLabel(_view(row), row.sense_id) for row in rows]


def labels_of(session: Session, feature_id: int) -> list[LabelView]:
    """Return the labels of `given_labels` without their senses' ids."""
    return [given.view for given in given_labels(session, feature_id)]


def current_labels(session: Session, feature_ids: Sequence[int]) -> dict[int, LabelView]:
    """Return the wording in force of each feature that has one, by feature id."""
    rows = session.execute(_CURRENT, {"ids": list(feature_ids)})
    return {row.feature_id: _view(row) for row in rows}


def labels_in_force(session: Session, feature_ids: Sequence[int]) -> dict[int, list[LabelView]]:
    """Return the wordings in force by feature id: that of the feature first, then its senses'."""
    rows = session.execute(
        _LABELS.where(among(Label.feature_id, feature_ids), Label.current).order_by(
            Label.sense_id.is_not(None), Label.id
        )
    )
    found: dict[int, list[LabelView]] = {}
    for row in rows:
        found.setdefault(row.feature_id, []).append(_view(row))
    return found


def labels_by_id(session: Session, label_ids: Sequence[int]) -> dict[int, LabelView]:
    """Return labels by their ids."""
    rows = session.execute(_LABELS.where(among(Label.id, label_ids)))
    return {row.id: _view(row) for row in rows}


def senses_of(session: Session, feature_id: int, run_id: int) -> list[SenseView]:
    """Return the senses of a run's examples, largest first; an only one has the feature's label.

    Senses that one label words are one; so are all of a feature that a language model has worded
    as a whole.
    """
    return senses_and_grouping(session, feature_id, run_id, given_labels(session, feature_id))[0]


def senses_and_grouping(
    session: Session, feature_id: int, run_id: int, given: Sequence[GivenLabel]
) -> tuple[list[SenseView], Grouping | None]:
    """Return `senses_of` a feature to which these labels were given, and how they were parted."""
    row = _grouped(session, feature_id, run_id)
    if row is None:
        return [], None
    labeling: Labeling = row.Labeling
    outcome: LabelOutcome = row.LabelOutcome
    grouping = Grouping(
        kind=outcome.kind,
        unassigned=outcome.unassigned,
        held_out=list(outcome.held_out),
        resolution=resolution_in(row.sorted_by),
        ineligible=outcome.reason if outcome.status == "ineligible" else None,
    )
    found = session.scalars(
        select(Sense)
        .where(
            Sense.feature_id == feature_id, Sense.labeling_id == (labeling.base_id or labeling.id)
        )
        .order_by(Sense.ordinal)
    ).all()
    return _worded(found, given, by_a_model=labeling.source == "llm"), grouping


def _worded(
    found: Sequence[Sense], given: Sequence[GivenLabel], *, by_a_model: bool
) -> list[SenseView]:
    """Return senses with those of the labels that are in force, joined where one words several."""
    in_force = [label for label in given if label.view.current]
    known = {sense.id for sense in found}
    labels = [label.view for label in in_force if label.sense_id in known]
    whole = next((label.view for label in in_force if label.sense_id is None), None)
    if not labels and found and (len(found) == 1 or by_a_model):
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
        parts=[part.id for part in parts],
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
    row = _grouped(session, feature_id, run_id)
    return None if row is None else row.Labeling


def _grouped(session: Session, feature_id: int, run_id: int) -> Row[Any] | None:
    """Return the labeling in force, how it ended for the feature, and what parted the examples."""
    return session.execute(_GROUPED, {"feature": feature_id, "run": run_id}).one_or_none()


def _grouped_statement() -> Any:
    feature_id: Any = bindparam("feature")
    run_id: Any = bindparam("run")
    chosen = (
        select(GroupingChoice.labeling_id)
        .where(GroupingChoice.feature_id == feature_id, GroupingChoice.run_id == run_id)
        .order_by(GroupingChoice.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    in_force = select(Label.labeling_id).where(
        Label.feature_id == feature_id, Label.current, Label.labeling_id.is_not(None)
    )
    sorting = aliased(Labeling)
    of_machine = (Labeling.run_id == run_id) & (Labeling.source != "person")
    return (
        select(Labeling, LabelOutcome, sorting.parameters.label("sorted_by"))
        .join(LabelOutcome, LabelOutcome.labeling_id == Labeling.id)
        .join(sorting, sorting.id == func.coalesce(Labeling.base_id, Labeling.id))
        .where(LabelOutcome.feature_id == feature_id, of_machine | (Labeling.id == chosen))
        .order_by(
            (Labeling.id == chosen).desc(), Labeling.id.in_(in_force).desc(), Labeling.id.desc()
        )
        .limit(1)
    )


_GROUPED: Final = _grouped_statement()
