"""How good the labels in force are: the distribution of their scores, and the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Subquery, func, select, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from scopebook.db.label_tables import Label, LabelScore
from scopebook.errors import InvalidInputError
from scopebook.feature_views import FeatureInList, Histogram
from scopebook.features import features_by_id
from scopebook.label_details import ScoreView, score_view
from scopebook.labels import LabelView, labels_by_id
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.releases import find_saes

#: Bars of a distribution, of equal width from 0 to 1.
BINS: Final = 20
#: Which scorer is shown where none is named: the one that says most comes first.
_ORDER: Final = ("detection", "fuzzing", "union", "intruder", "embedding", "support")


@dataclass(frozen=True, kw_only=True)
class ScoreDistribution:
    """The newest scores that one scorer gave the labels in force."""

    scorer: str
    #: Labels with such a score by their source, and those without.
    scored: dict[str, int]
    unscored: dict[str, int]
    histogram: Histogram
    median: float
    #: Mean of what the scorer gives labels of other features; None where none was measured.
    null_value: float | None


@dataclass(frozen=True, kw_only=True)
class ScoredLabel:
    """A label in force with a score, and the feature it speaks of."""

    feature: FeatureInList
    label: LabelView
    score: ScoreView


@dataclass(frozen=True, kw_only=True)
class ScoreReport:
    """The scores of the labels in force; `worst` is of `scorer` alone, the lowest first."""

    #: Labels in force by their source.
    labels: dict[str, int]
    distributions: list[ScoreDistribution]
    #: None where nothing is scored.
    scorer: str | None
    worst: list[ScoredLabel]
    following: str | None


def score_report(
    session: Session,
    *,
    release: str | None = None,
    layer: int | None = None,
    scorer: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> ScoreReport:
    """Return how the labels in force are scored, and a page of the worst.

    Raises InvalidInputError for a scorer that has scored none of the labels, unless there is no
    score at all.
    """
    saes = find_saes(session, release=release, layers=None if layer is None else [layer])
    sae_ids = [sae.id for sae in saes]
    labels = _labels(session, sae_ids)
    distributions = _distributions(session, sae_ids, labels)
    known = [one.scorer for one in distributions]
    if scorer is not None and known and scorer not in known:
        raise InvalidInputError(
            f"No label here has a score by {scorer!r}; there are scores by {', '.join(known)}."
        )
    chosen = (scorer or known[0]) if known else None
    worst, following = (
        _worst(session, sae_ids, chosen, cursor=cursor, limit=limit) if chosen else ([], None)
    )
    return ScoreReport(
        labels=labels,
        distributions=distributions,
        scorer=chosen,
        worst=worst,
        following=following,
    )


def _labels(session: Session, sae_ids: Sequence[int]) -> dict[str, int]:
    rows = session.execute(
        select(Label.source, func.count())
        .where(Label.sae_id.in_(sae_ids), Label.current)
        .group_by(Label.source)
        .order_by(Label.source)
    )
    return {row[0]: row[1] for row in rows}


def _newest(sae_ids: Sequence[int], scorer: str | None = None) -> Subquery:
    """Return the newest score of each label in force by each scorer, or by one.

    Without those that say themselves that there were too few examples to tell anything.
    """
    statement = (
        select(LabelScore, Label.source)
        .join(Label, Label.id == LabelScore.label_id)
        .where(
            Label.sae_id.in_(sae_ids),
            Label.current,
            func.coalesce(LabelScore.details["checked"].astext, "true") == "true",
        )
        .ext(distinct_on(LabelScore.label_id, LabelScore.scorer))
        .order_by(LabelScore.label_id, LabelScore.scorer, LabelScore.id.desc())
    )
    if scorer is not None:
        statement = statement.where(LabelScore.scorer == scorer)
    return statement.subquery()


def _distributions(
    session: Session, sae_ids: Sequence[int], labels: dict[str, int]
) -> list[ScoreDistribution]:
    newest = _newest(sae_ids).c
    bucket = func.least(BINS, func.greatest(1, func.width_bucket(newest.value, 0.0, 1.0, BINS)))
    counts: dict[str, list[int]] = {}
    sources: dict[str, dict[str, int]] = {}
    for scorer, source, place, count in session.execute(
        select(newest.scorer, newest.source, bucket, func.count()).group_by(
            newest.scorer, newest.source, bucket
        )
    ):
        counts.setdefault(scorer, [0] * BINS)[place - 1] += count
        by_source = sources.setdefault(scorer, {})
        by_source[source] = by_source.get(source, 0) + count
    middle = func.percentile_cont(0.5).within_group(newest.value)
    middles = {
        row.scorer: row
        for row in session.execute(
            select(
                newest.scorer, middle.label("median"), func.avg(newest.null_value).label("null")
            ).group_by(newest.scorer)
        )
    }
    return [
        ScoreDistribution(
            scorer=scorer,
            scored=sources[scorer],
            unscored={
                source: count - sources[scorer].get(source, 0) for source, count in labels.items()
            },
            histogram=Histogram(edges=[i / BINS for i in range(BINS + 1)], counts=counts[scorer]),
            median=middles[scorer].median,
            null_value=middles[scorer].null,
        )
        for scorer in sorted(counts, key=_place)
    ]


def _place(scorer: str) -> tuple[int, str]:
    return (_ORDER.index(scorer) if scorer in _ORDER else len(_ORDER), scorer)


def _worst(
    session: Session, sae_ids: Sequence[int], scorer: str, *, cursor: str | None, limit: int
) -> tuple[list[ScoredLabel], str | None]:
    newest = _newest(sae_ids, scorer)
    score = aliased(LabelScore, newest)
    statement = (
        select(score, Label.feature_id)
        .join(Label, Label.id == score.label_id)
        .order_by(score.value, score.label_id)
        .limit(limit + 1)
    )
    if cursor is not None:
        statement = statement.where(
            tuple_(score.value, score.label_id) > tuple_(*decode_cursor(cursor, [float, int]))
        )
    rows = session.execute(statement).all()
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        last: LabelScore = page[-1][0]
        following = encode_cursor([last.value, last.label_id])
    return _described(session, page), following


def _described(session: Session, rows: Sequence[Any]) -> list[ScoredLabel]:
    features = {
        feature.feature_id: feature
        for feature in features_by_id(session, sorted({row.feature_id for row in rows}))
    }
    labels = labels_by_id(session, [row[0].label_id for row in rows])
    return [
        ScoredLabel(
            feature=features[row.feature_id],
            label=labels[row[0].label_id],
            score=score_view(row[0]),
        )
        for row in rows
    ]
