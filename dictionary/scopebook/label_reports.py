"""How far labels reach: by layer, by where they come from, and why some features have none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from scopebook.db.arrays import among_given
from scopebook.db.label_tables import Label, Labeling, LabelOutcome
from scopebook.db.tables import Model, Release, Sae
from scopebook.labelings import NAMED, RULES
from scopebook.releases import find_release, fired_features
from scopebook.sense_resolution import SenseResolution, resolution_in


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the newest attempt of a language model ended for a feature, where it gave no label."""

    status: str
    reason: str | None
    method: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class LabelingReport:
    """One pass over the features of a layer."""

    id: int
    job_id: int | None
    run_id: int
    source: str
    method: str
    parameters: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    #: Features by how it ended for them: `ok`, `ineligible`, `abstained`, ...
    outcomes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class LabelCoverage:
    """How many of a layer's features have a label, and of whom."""

    release: str
    model: str
    layer: int
    set_name: str
    features: int
    #: Features that fire in the shown run; null where nothing is collected.
    fired: int | None
    #: Features by the source of their label in force.
    by_source: dict[str, int]
    #: Newest first, of the shown run.
    labelings: list[LabelingReport]
    #: How far senses can be trusted, by the newest sorting of the whole layer; None: unknown.
    resolution: SenseResolution | None


#: What a language model's attempt may end with besides a label in force.
WITHOUT_LABEL: Final = ("suspect", "abstained", "refused", "failed")


def _worded_by_a_model() -> ColumnElement[bool]:
    return exists().where(
        Label.feature_id == LabelOutcome.feature_id,
        Label.current,
        Label.source == "llm",
        Label.sense_id.is_(None),
    )


_NEWEST: Final[Any] = (
    select(
        LabelOutcome.feature_id,
        LabelOutcome.status,
        LabelOutcome.reason,
        LabelOutcome.created_at,
        Labeling.method,
    )
    .join(Labeling, Labeling.id == LabelOutcome.labeling_id)
    .join(Sae, (Sae.id == Labeling.sae_id) & (Sae.current_run_id == Labeling.run_id))
    .where(
        among_given(LabelOutcome.feature_id),
        Labeling.source == "llm",
        ~_worded_by_a_model(),
    )
    .ext(distinct_on(LabelOutcome.feature_id))
    .order_by(LabelOutcome.feature_id, Labeling.id.desc())
)


def outcomes_of(session: Session, feature_ids: Sequence[int]) -> dict[int, Outcome]:
    """Return why the newest language model gave no label, by feature id; of the shown run.

    A feature is left out where no model was asked, the newest one has a label for it, or an
    earlier one's label is in force.
    """
    return {
        row.feature_id: Outcome(
            status=row.status, reason=row.reason, method=row.method, created_at=row.created_at
        )
        for row in session.execute(_NEWEST, {"ids": list(feature_ids)})
        if row.status in WITHOUT_LABEL
    }


def label_coverage(session: Session, release: str | None = None) -> list[LabelCoverage]:
    """Return the layers of a release, or of all, with how far their labels reach."""
    statement = (
        select(
            Sae,
            Release.name,
            Release.set_name,
            Model.name.label("model"),
            fired_features().label("fired"),
        )
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .order_by(Release.name, Sae.layer)
    )
    if release is not None:
        statement = statement.where(Release.id == find_release(session, release).id)
    rows = session.execute(statement).all()
    sae_ids = [row.Sae.id for row in rows]
    sources, labelings = _by_source(session, sae_ids), _labelings(session, sae_ids)
    return [
        LabelCoverage(
            release=row.name,
            model=row.model,
            layer=row.Sae.layer,
            set_name=row.set_name,
            features=row.Sae.d_sae,
            fired=None if row.Sae.current_run_id is None else row.fired,
            by_source=sources.get(row.Sae.id, {}),
            labelings=labelings.get(row.Sae.id, []),
            resolution=_resolution(labelings.get(row.Sae.id, [])),
        )
        for row in rows
    ]


def _resolution(labelings: Sequence[LabelingReport]) -> SenseResolution | None:
    """Return what the newest labeling by keywords of the whole layer has kept."""
    sortings = (
        labeling.parameters
        for labeling in labelings
        if labeling.source == "keywords"
        and labeling.finished_at is not None
        and NAMED not in labeling.parameters
    )
    return resolution_in(next(sortings, {}))


def _by_source(session: Session, sae_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    rows = session.execute(
        select(Label.sae_id, Label.source, func.count())
        .where(Label.sae_id.in_(sae_ids), Label.current, Label.sense_id.is_(None))
        .group_by(Label.sae_id, Label.source)
        .order_by(Label.sae_id, Label.source)
    )
    found: dict[int, dict[str, int]] = {}
    for sae_id, source, count in rows:
        found.setdefault(sae_id, {})[source] = count
    return found


def _labelings(session: Session, sae_ids: Sequence[int]) -> dict[int, list[LabelingReport]]:
    shown = aliased(Sae)
    rows = session.execute(
        select(Labeling)
        .join(shown, (shown.id == Labeling.sae_id) & (shown.current_run_id == Labeling.run_id))
        # Senses that a person has parted or joined are no pass over a layer.
        .where(Labeling.sae_id.in_(sae_ids), Labeling.source != "person")
        .order_by(Labeling.id.desc())
    )
    labelings = list(rows.scalars())
    counts: dict[int, dict[str, int]] = {}
    counted: Sequence[Row[int, str, int]] = session.execute(
        select(LabelOutcome.labeling_id, LabelOutcome.status, func.count())
        .where(LabelOutcome.labeling_id.in_([labeling.id for labeling in labelings]))
        .group_by(LabelOutcome.labeling_id, LabelOutcome.status)
    ).all()
    for labeling_id, status, count in counted:
        counts.setdefault(labeling_id, {})[status] = count
    found: dict[int, list[LabelingReport]] = {}
    for labeling in labelings:
        found.setdefault(labeling.sae_id, []).append(_report(labeling, counts))
    return found


def _report(labeling: Labeling, counts: dict[int, dict[str, int]]) -> LabelingReport:
    return LabelingReport(
        id=labeling.id,
        job_id=labeling.job_id,
        run_id=labeling.run_id,
        source=labeling.source,
        method=labeling.method,
        # The rules are pages long, and shown where a label comes from.
        parameters={k: v for k, v in labeling.parameters.items() if k != RULES},
        created_at=labeling.created_at,
        finished_at=labeling.finished_at,
        outcomes=counts.get(labeling.id, {}),
    )
