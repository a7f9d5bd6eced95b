"""Scores of labels: which labels are scored, what is stored of that, and what a judge has taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from scopebook.db.jobs import Step
from scopebook.db.label_tables import (
    Label,
    Labeling,
    LabelOrigin,
    LabelOutcome,
    LabelScore,
    Sense,
)
from scopebook.db.tables import Sae
from scopebook.entries import refresh_entries
from scopebook.jobs import SCORE_SAE
from scopebook.labelings import speaks_of_all
from scopebook.llm_labelings import Spent
from scopebook.queue_order import order_queue

EMBEDDING: Final = "embedding"
#: Those that ask a language model.
JUDGED: Final = ("detection", "fuzzing", "union", "intruder")
SCORERS: Final = (EMBEDDING, *JUDGED)
#: Unseen examples that a score needs; of fewer its interval would hold nearly everything.
MIN_POSITIVES: Final = 5


@dataclass(frozen=True, kw_only=True)
class LabelToScore:
    """A label, and where in the evidence's examples that is which it must fit."""

    id: int
    feature_id: int
    text: str
    description: str | None
    source: str
    #: The senses it words; none: the whole feature.
    senses: Sequence[int]
    #: Examples of its senses that nobody who worded the feature saw.
    held_out: Sequence[int]
    #: The same of the whole feature.
    feature_held_out: Sequence[int]
    #: Examples that its senses were found in.
    members: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A scorer as it is asked for; what is stored by the same one is not asked for again."""

    scorer: str
    version: str
    #: The judge's name or the embedder's, as it is asked for.
    name: str


def labels_to_score(
    session: Session, sae: Sae, run_id: int, source: str | None
) -> list[LabelToScore]:
    """Return the labels of an SAE that can be tried on a run's examples, by feature and sense.

    Those in force; with a `source` those of the newest finished labeling of that source. A label
    by a person or an import is tried on what the newest labeling by keywords has held out.
    """
    base = _base(sae.id, run_id)
    known = aliased(Labeling)
    rows = session.execute(
        select(Label, Sense.ordinal, known.id.label("base_id"), LabelOutcome.held_out)
        .outerjoin(Labeling, Labeling.id == Label.labeling_id)
        .outerjoin(Sense, Sense.id == Label.sense_id)
        .join(known, known.id == base)
        .join(
            LabelOutcome,
            (LabelOutcome.labeling_id == known.id) & (LabelOutcome.feature_id == Label.feature_id),
        )
        .where(*_chosen(sae.id, run_id, source), known.run_id == run_id)
        .order_by(Label.feature_id, Sense.ordinal.nulls_first(), Label.id)
    ).all()
    senses = _senses(session, {row.base_id for row in rows})
    return [_to_score(row, senses.get((row.base_id, row.Label.feature_id), {})) for row in rows]


def _base(sae_id: int, run_id: int) -> ColumnElement[Any]:
    """Return the labeling whose senses and held-out examples a label's are."""
    newest = _newest(sae_id, run_id, "keywords")
    return func.coalesce(Labeling.base_id, Labeling.id, Sense.labeling_id, newest)


def _newest(sae_id: int, run_id: int, source: str) -> Any:
    return (
        select(func.max(Labeling.id))
        .where(
            Labeling.sae_id == sae_id,
            Labeling.run_id == run_id,
            Labeling.source == source,
            Labeling.finished_at.is_not(None),
            speaks_of_all(),
        )
        .correlate(None)
        .scalar_subquery()
    )


def _chosen(sae_id: int, run_id: int, source: str | None) -> tuple[Any, ...]:
    if source is None:
        return (Label.sae_id == sae_id, Label.current)
    return (
        Label.sae_id == sae_id,
        Label.status == "ok",
        Label.labeling_id == _newest(sae_id, run_id, source),
    )


def _senses(
    session: Session, labeling_ids: set[int]
) -> dict[tuple[int, int], dict[int, tuple[list[int], list[int]]]]:
    """Return of each labeling and feature the senses' held-out examples and members."""
    found: dict[tuple[int, int], dict[int, tuple[list[int], list[int]]]] = {}
    rows = session.execute(
        select(
            Sense.labeling_id, Sense.feature_id, Sense.ordinal, Sense.held_out, Sense.members
        ).where(Sense.labeling_id.in_(labeling_ids))
    )
    for labeling_id, feature_id, ordinal, held_out, members in rows:
        found.setdefault((labeling_id, feature_id), {})[ordinal] = (held_out, members)
    return found


def _to_score(row: Any, senses: Mapping[int, tuple[list[int], list[int]]]) -> LabelToScore:
    label: Label = row.Label
    ordinals = [] if row.ordinal is None else [row.ordinal, *label.also]
    own = [senses[ordinal] for ordinal in ordinals or senses if ordinal in senses]
    whole = [place for held_out, _ in own for place in held_out]
    return LabelToScore(
        id=label.id,
        feature_id=label.feature_id,
        text=label.text,
        description=label.description,
        source=label.source,
        senses=ordinals,
        held_out=whole if ordinals else list(row.held_out),
        feature_held_out=list(row.held_out),
        members=[place for _, members in own for place in members],
    )


def labels_by_source(session: Session, sae: Sae, run_id: int, source: str | None) -> dict[str, int]:
    """Return how many labels there are to choose from, by their source."""
    rows = session.execute(
        select(Label.source, func.count().label("n"))
        .outerjoin(Labeling, Labeling.id == Label.labeling_id)
        .where(
            *_chosen(sae.id, run_id, source),
            or_(Label.labeling_id.is_(None), Labeling.run_id == run_id),
        )
        .group_by(Label.source)
    )
    return {row.source: row.n for row in rows}


def labelers_of(session: Session, sae: Sae, run_id: int, source: str | None) -> set[str]:
    """Return the models that worded such labels: as they were asked for, and as they reported."""
    rows = session.execute(
        select(Labeling.method, LabelOrigin.model_reported)
        .select_from(Label)
        .join(Labeling, Labeling.id == Label.labeling_id)
        .outerjoin(
            LabelOrigin,
            (LabelOrigin.labeling_id == Label.labeling_id)
            & (LabelOrigin.feature_id == Label.feature_id),
        )
        .where(*_chosen(sae.id, run_id, source), Labeling.source == "llm")
        .distinct()
    )
    return {name for row in rows for name in row if name}


def stored_scores(session: Session, sae_id: int, asked: Sequence[Asked]) -> set[tuple[int, str]]:
    """Return which labels (their ids) have which of these scores."""
    same = [_same(one) for one in asked]
    rows = session.execute(
        select(LabelScore.label_id, LabelScore.scorer)
        .join(Label, Label.id == LabelScore.label_id)
        .where(Label.sae_id == sae_id, or_(False, *same))
    )
    return {(label_id, scorer) for label_id, scorer in rows}


def _same(asked: Asked) -> ColumnElement[bool]:
    return and_(
        LabelScore.scorer == asked.scorer,
        LabelScore.scorer_version == asked.version,
        LabelScore.details["asked"].astext == asked.name,
    )


def publish_scores(session: Session, scores: Sequence[Mapping[str, Any]]) -> None:
    """Add scores (columns of `LabelScore`, the same of each); one that is there stays as it is."""
    if scores:
        statement = insert(LabelScore).on_conflict_do_nothing(constraint="uq_label_score_once")
        session.execute(statement, [dict(score) for score in scores])
        scored = select(Label.sae_id, Label.feature_id).where(
            Label.id.in_({score["label_id"] for score in scores}), Label.current
        )
        rows = session.execute(scored).all()
        features = {row.feature_id for row in rows}
        order_queue(session, {row.sae_id for row in rows}, features)
        refresh_entries(session, sorted(features))


def known_null(
    session: Session, sae_id: int, run_id: int, asked: Asked, *, least: int
) -> tuple[float, int] | None:
    """Return the null that such scores of the run stand beside, and how many labels made it.

    None where they are fewer than `least`.
    """
    labels = LabelScore.details["null_labels"].as_integer()
    row = session.execute(
        select(LabelScore.null_value, labels)
        .join(Label, Label.id == LabelScore.label_id)
        .where(
            Label.sae_id == sae_id,
            _same(asked),
            LabelScore.null_value.is_not(None),
            LabelScore.details["run"].as_integer() == run_id,
            labels >= least,
        )
        .order_by(LabelScore.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (float(row[0]), int(row[1]))


def note_step(session: Session, step_id: int, found: Mapping[str, Any]) -> None:
    """Add to a step's parameters what a successor must know: what was asked, what it took."""
    step = session.get_one(Step, step_id)
    step.parameters = step.parameters | dict(found)


def spent_on_scores(session: Session, job_id: int) -> Spent:
    """Return what a job's judge has taken: each step notes what the whole job has come to."""
    noted = session.scalars(
        select(Step.parameters["spent"]).where(
            Step.job_id == job_id, Step.kind == SCORE_SAE, Step.parameters.has_key("spent")
        )
    ).all()
    most = max(noted, key=lambda one: one["tokens_in"] + one["tokens_out"], default=None)
    return Spent(**(most or {"tokens_in": 0, "tokens_cached": 0, "tokens_out": 0}))
