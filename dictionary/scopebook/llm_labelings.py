"""Labelings by a language model: what is still to be asked, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.orm import Session

from scopebook.db.label_tables import (
    Label,
    Labeling,
    LabelOrigin,
    LabelOutcome,
    Sense,
)
from scopebook.db.tables import Evidence
from scopebook.labelings import (
    RULES,
    begin_labeling,
    found_by,
    named_features,
    sha256_of,
    speaks_of_all,
)
from scopebook.window_embedders import AskedEmbedder

#: A feature that fires on more than this share of all tokens seldom has one meaning.
DENSE: Final = 0.1
DENSE_REASON: Final = "It fires on more than a tenth of all tokens, so it is not asked about."
#: Answers from which on what a model counts is known.
_ENOUGH: Final = 32


@dataclass(frozen=True, kw_only=True)
class SenseWording:
    """The wording of some senses, by ordinal; the first is the largest."""

    senses: Sequence[int]
    text: str
    description: str | None
    kind: str
    confidence: float


@dataclass(frozen=True, kw_only=True)
class FeatureOutcome:
    """What came of asking about one feature."""

    feature_id: int
    status: str
    reason: str | None
    wordings: Sequence[SenseWording]
    #: Columns of `LabelOrigin`, but for its key; None where nothing was asked.
    origin: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class CountedByGuessed:
    """How many times the guess a model has counted: tokens read, and tokens written."""

    read: float
    written: float


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Tokens that a job's requests have taken."""

    tokens_in: int
    tokens_cached: int
    tokens_out: int


def continue_labeling(
    session: Session,
    *,
    job_id: int,
    sae_id: int,
    run_id: int,
    model: str,
    parameters: dict[str, Any],
    rules: str,
    embedder: AskedEmbedder | None = None,
) -> int:
    """Return the unfinished labeling of this SAE with these parameters, or begin one.

    A job goes on where an earlier one ended, whose budget was spent or whose server was gone. It
    words the senses of the run's newest labeling by keywords, made with `embedder` if one is given.
    `rules` is what all its requests begin with, kept to be shown.
    """
    sha256 = sha256_of(model, parameters)
    known = _adopt_unfinished(session, job_id, sae_id, run_id, sha256)
    if known is not None:
        return known
    return begin_labeling(
        session,
        job_id=job_id,
        sae_id=sae_id,
        run_id=run_id,
        source="llm",
        method=model,
        parameters=parameters | {RULES: rules},
        sha256=sha256,
        base_id=newest_base(session, sae_id, run_id, embedder),
    )


def _adopt_unfinished(
    session: Session, job_id: int, sae_id: int, run_id: int, sha256: str
) -> int | None:
    known: int | None = session.scalar(
        update(Labeling)
        .where(
            Labeling.sae_id == sae_id,
            Labeling.run_id == run_id,
            Labeling.source == "llm",
            Labeling.sha256 == sha256,
            Labeling.finished_at.is_(None),
        )
        .values(job_id=job_id)
        .returning(Labeling.id)
    )
    return known


def newest_base(
    session: Session, sae_id: int, run_id: int, embedder: AskedEmbedder | None = None
) -> int | None:
    """Return the run's newest labeling by keywords of all features, whose senses are worded.

    Of those whose senses were found by this embedder, if one is given.
    """
    found: int | None = session.scalar(
        select(Labeling.id)
        .where(
            Labeling.sae_id == sae_id,
            Labeling.run_id == run_id,
            Labeling.source == "keywords",
            speaks_of_all(),
            Labeling.finished_at.is_not(None),
            *([found_by(embedder)] if embedder else []),
        )
        .order_by(Labeling.id.desc())
        .limit(1)
    )
    return found


def note_parameters(session: Session, labeling_id: int, found: Mapping[str, Any]) -> None:
    """Add what was found out on the way to a labeling's parameters."""
    labeling = session.get_one(Labeling, labeling_id)
    labeling.parameters = labeling.parameters | dict(found)


def features_to_ask(session: Session, labeling_id: int, *, limit: int | None) -> list[int]:
    """Return the row ids of features that were not asked about yet, in order.

    Of those that the base found eligible; `limit` counts features that were asked about, too. A
    labeling that names its features asks about dense ones as well.
    """
    labeling = session.get_one(Labeling, labeling_id)
    asked = exists().where(
        LabelOrigin.labeling_id == labeling_id,
        LabelOrigin.feature_id == LabelOutcome.feature_id,
    )
    named = named_features(labeling)
    rows = session.execute(
        select(LabelOutcome.feature_id, asked.label("asked"))
        .join(
            Evidence,
            (Evidence.feature_id == LabelOutcome.feature_id) & (Evidence.run_id == labeling.run_id),
        )
        .where(
            LabelOutcome.labeling_id == labeling.base_id,
            LabelOutcome.status == "ok",
            Evidence.density <= DENSE if named is None else LabelOutcome.feature_id.in_(named),
        )
        .order_by(LabelOutcome.feature_id)
    ).all()
    wanted = rows if limit is None else rows[:limit]
    return [row.feature_id for row in wanted if not row.asked]


def spent_by(session: Session, job_id: int) -> Spent:
    """Return what a job's requests have taken so far."""
    row = session.execute(
        select(
            func.coalesce(func.sum(LabelOrigin.tokens_in), 0),
            func.coalesce(func.sum(LabelOrigin.tokens_cached), 0),
            func.coalesce(func.sum(LabelOrigin.tokens_out), 0),
        )
        .join(Labeling, Labeling.id == LabelOrigin.labeling_id)
        .where(Labeling.job_id == job_id)
    ).one()
    return Spent(tokens_in=int(row[0]), tokens_cached=int(row[1]), tokens_out=int(row[2]))


def counted_by_guessed(
    session: Session, labeling_id: int, *, counted_by: str
) -> CountedByGuessed | None:
    """Return what this model has counted, to these questions, by what was guessed for them.

    By the newest labeling of any SAE with the same parameters, the same way of guessing
    (`counted_by`) and enough answers; None without one.
    """
    counted = (
        select(
            Labeling.id,
            Labeling.parameters["guess"].label("guess"),
            func.avg(LabelOrigin.tokens_in).label("read"),
            func.avg(LabelOrigin.tokens_out).label("written"),
        )
        .join(LabelOrigin, LabelOrigin.labeling_id == Labeling.id)
        .where(
            Labeling.sha256
            == select(Labeling.sha256).where(Labeling.id == labeling_id).scalar_subquery(),
            Labeling.source == "llm",
            Labeling.parameters.has_key("guess"),
            func.coalesce(Labeling.parameters["counted_by"].astext, "guess") == counted_by,
            LabelOrigin.tokens_in > 0,
        )
        .group_by(Labeling.id)
        .having(func.count() >= _ENOUGH)
        .order_by(Labeling.id.desc())
        .limit(1)
    )
    row = session.execute(counted).one_or_none()
    if row is None or not row.guess["tokens_in"] or not row.guess["tokens_out"]:
        return None
    calls = row.guess["calls"]
    return CountedByGuessed(
        read=float(row.read) * calls / row.guess["tokens_in"],
        written=float(row.written) * calls / row.guess["tokens_out"],
    )


def publish_outcomes(
    session: Session, labeling_id: int, outcomes: Sequence[FeatureOutcome]
) -> None:
    """Add what came of asking about some features; no label is in force before it is checked.

    What stands already is left as it is: a commit whose answer was lost is made again.
    """
    standing = _standing(session, labeling_id, outcomes)
    outcomes = [one for one in outcomes if one.feature_id not in standing]
    if not outcomes:
        return
    labeling = session.get_one(Labeling, labeling_id)
    session.execute(insert(LabelOutcome), _outcome_rows(session, labeling, outcomes))
    origins = [
        {"labeling_id": labeling_id, "feature_id": one.feature_id, **one.origin}
        for one in outcomes
        if one.origin is not None
    ]
    if origins:
        session.execute(insert(LabelOrigin), origins)
    labels = _label_rows(session, labeling, outcomes)
    if labels:
        session.execute(insert(Label), labels)


def _standing(session: Session, labeling_id: int, outcomes: Sequence[FeatureOutcome]) -> set[int]:
    return set(
        session.scalars(
            select(LabelOutcome.feature_id).where(
                LabelOutcome.labeling_id == labeling_id,
                LabelOutcome.feature_id.in_([one.feature_id for one in outcomes]),
            )
        )
    )


def _outcome_rows(
    session: Session, labeling: Labeling, outcomes: Sequence[FeatureOutcome]
) -> list[dict[str, Any]]:
    """Return the rows of what came of asking, with what the base says of the examples."""
    sets = {
        row.feature_id: row
        for row in session.scalars(
            select(LabelOutcome).where(
                LabelOutcome.labeling_id == labeling.base_id,
                LabelOutcome.feature_id.in_([one.feature_id for one in outcomes]),
            )
        )
    }
    return [
        {
            "labeling_id": labeling.id,
            "feature_id": one.feature_id,
            "status": one.status,
            "reason": one.reason,
            "kind": sets[one.feature_id].kind,
            "unassigned": sets[one.feature_id].unassigned,
            "example_set": sets[one.feature_id].example_set,
            "held_out": sets[one.feature_id].held_out,
        }
        for one in outcomes
    ]


def _label_rows(
    session: Session, labeling: Labeling, outcomes: Sequence[FeatureOutcome]
) -> list[dict[str, Any]]:
    senses: dict[tuple[int, int], Sense] = {
        (sense.feature_id, sense.ordinal): sense
        for sense in session.scalars(
            select(Sense).where(
                Sense.labeling_id == labeling.base_id,
                Sense.feature_id.in_([one.feature_id for one in outcomes]),
            )
        )
    }
    rows: list[dict[str, Any]] = []
    for one in outcomes:
        for wording in one.wordings:
            covered = [senses[one.feature_id, ordinal] for ordinal in wording.senses]
            whole = len(one.wordings) == 1
            rows.append(
                {
                    "feature_id": one.feature_id,
                    "sae_id": labeling.sae_id,
                    "labeling_id": labeling.id,
                    "sense_id": None if whole else covered[0].id,
                    "also": [] if whole else list(wording.senses[1:]),
                    "text": wording.text,
                    "description": wording.description,
                    "kind": wording.kind,
                    "confidence": wording.confidence,
                    "source": "llm",
                    "method": labeling.method,
                    "n_examples": sum(len(sense.members) for sense in covered),
                    "share": sum(sense.share for sense in covered),
                    "provenance": {},
                    "supersedes_id": None,
                    "current": False,
                }
            )
    supersede(session, rows)
    return rows


def supersede(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Note the model's label that each label of a whole feature comes after."""
    before = session.execute(
        select(Label.feature_id, func.max(Label.id).label("last"))
        .where(
            Label.feature_id.in_([row["feature_id"] for row in rows]),
            Label.source == "llm",
            Label.sense_id.is_(None),
        )
        .group_by(Label.feature_id)
    )
    last = {row.feature_id: row.last for row in before}
    for row in rows:
        if row["sense_id"] is None:
            row["supersedes_id"] = last.get(row["feature_id"])
