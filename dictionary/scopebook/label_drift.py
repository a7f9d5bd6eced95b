"""Drift: how far two labelings of one layer say the same of each feature; their words need not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, Select, cast, exists, func, literal, select, tuple_
from sqlalchemy.orm import Session, aliased

from scopebook.db.label_tables import Label, LabelEmbedding, Labeling, LabelOutcome, LabelScore
from scopebook.db.tables import Feature, Model, Release, Sae
from scopebook.embedders import current_embedder
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.labelings import speaks_of_all
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.release_names import FeatureId
from scopebook.releases import find_saes
from scopebook.settings import settings

#: From this cosine on, two labels mean the same.
SAME: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """A feature that two labelings word."""

    id: str
    #: Of the labels' vectors; see `drifts`.
    cosine: float
    first: str
    second: str


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Two labelings of one layer, compared."""

    first_id: int
    second_id: int
    #: What worded: `keywords-2`, or a model's name.
    first_method: str
    second_method: str
    #: Features by how both ended for them, such as `ok, abstained`.
    outcomes: dict[str, int]
    #: Features that both have labelled, the second alone has, and the first alone has.
    both: int
    gained: int
    lost: int
    #: Features both of whose labels have vectors, and how many of those mean the same.
    compared: int
    same: int
    median_cosine: float | None
    #: By scorer: the mean change of the score on the same windows, and over how many labels.
    score_changes: dict[str, tuple[float, int]]
    #: Those that drifted farthest first.
    items: list[FeatureDrift]
    next: str | None


def newest_two(session: Session, release: str, layer: int) -> tuple[int, int]:
    """Return the last two labelings of the whole layer on its shown run, the earlier first.

    Both by models where there are two of those. Raises NotFoundError where there is nothing to
    compare.
    """
    [sae] = find_saes(session, release=release, layers=[layer])
    rows = session.execute(
        select(Labeling.id, Labeling.source)
        .where(
            Labeling.sae_id == sae.id,
            Labeling.run_id == sae.current_run_id,
            Labeling.finished_at.is_not(None),
            speaks_of_all(),
        )
        .order_by(Labeling.id.desc())
    ).all()
    by_models = [row.id for row in rows if row.source == "llm"]
    found = by_models if len(by_models) > 1 else [row.id for row in rows]
    if len(found) < 2:
        raise NotFoundError(
            f"Layer {layer} of {release} was labelled {len(found)} times on its shown examples; "
            "label it again, by another model for one, to compare."
        )
    return found[1], found[0]


def drift(
    session: Session, first_id: int, second_id: int, *, limit: int = 50, cursor: str | None = None
) -> DriftReport:
    """Compare two labelings of one layer.

    Raises NotFoundError for one that does not exist, and InvalidInputError for labelings of two
    layers.
    """
    first, second = (_labeling(session, key) for key in (first_id, second_id))
    if first.sae_id != second.sae_id:
        raise InvalidInputError(
            f"Labelings {first_id} and {second_id} are of two layers; compare two of one."
        )
    embedder = current_embedder(session, settings())
    cosines = _cosines(first_id, second_id, embedder.id if embedder else 0).subquery()
    compared, same, median = session.execute(
        select(
            func.count(),
            func.count().filter(cosines.c.cosine >= SAME),
            func.percentile_cont(0.5).within_group(cosines.c.cosine),
        ).select_from(cosines)
    ).one()
    both, gained, lost = _labelled(session, first_id, second_id)
    items, following = _page(session, cosines, (first_id, second_id), limit, cursor)
    return DriftReport(
        first_id=first_id,
        second_id=second_id,
        first_method=first.method,
        second_method=second.method,
        outcomes=_outcomes(session, first_id, second_id),
        both=both,
        gained=gained,
        lost=lost,
        compared=compared,
        same=same,
        median_cosine=median,
        score_changes=_score_changes(session, first_id, second_id),
        items=items,
        next=following,
    )


def _labeling(session: Session, labeling_id: int) -> Labeling:
    found = session.get(Labeling, labeling_id)
    if found is None:
        raise NotFoundError(
            f"There is no labeling {labeling_id}; `scopebook drift RELEASE --layer N` compares the "
            "last two."
        )
    return found


def _vectors(labeling_id: int, embedder_id: int) -> Select[Any]:
    """Select the vectors of each feature's labels: of its senses, else of the whole.

    Without suspect ones, which nobody is shown as labels.
    """
    worded = aliased(Label)
    has_senses = (
        select(literal(1))
        .where(
            worded.labeling_id == labeling_id,
            worded.feature_id == Label.feature_id,
            worded.sense_id.is_not(None),
            worded.status == "ok",
        )
        .exists()
    )
    return (
        select(Label.id, Label.feature_id, LabelEmbedding.embedding)
        .join(LabelEmbedding, LabelEmbedding.label_id == Label.id)
        .where(
            Label.labeling_id == labeling_id,
            Label.status == "ok",
            LabelEmbedding.embedder_id == embedder_id,
            Label.sense_id.is_not(None) | ~has_senses,
        )
    )


def _cosines(first_id: int, second_id: int, embedder_id: int) -> Select[Any]:
    """Select for each feature how near its labels are.

    The largest cosine of each label of the one labeling among those of the other, the mean of
    both ways: senses may be worded in another order, or be one more.
    """
    a = _vectors(first_id, embedder_id).subquery("a")
    b = _vectors(second_id, embedder_id).subquery("b")
    cosine = literal(1.0) - cast(a.c.embedding.cosine_distance(b.c.embedding), Double)
    pairs = (
        select(a.c.feature_id, a.c.id.label("one"), b.c.id.label("other"), cosine.label("cosine"))
        .join(b, a.c.feature_id == b.c.feature_id)
        .cte("pairs")
    )

    def best(side: ColumnElement[int]) -> Any:
        nearest = (
            select(pairs.c.feature_id, func.max(pairs.c.cosine).label("cosine"))
            .group_by(pairs.c.feature_id, side)
            .subquery()
        )
        return (
            select(nearest.c.feature_id, func.avg(nearest.c.cosine).label("cosine"))
            .group_by(nearest.c.feature_id)
            .subquery()
        )

    one, other = best(pairs.c.one), best(pairs.c.other)
    return select(one.c.feature_id, ((one.c.cosine + other.c.cosine) / 2).label("cosine")).join(
        other, one.c.feature_id == other.c.feature_id
    )


def _page(
    session: Session, cosines: Any, labelings: Sequence[int], limit: int, cursor: str | None
) -> tuple[list[FeatureDrift], str | None]:
    statement = select(cosines.c.feature_id, cosines.c.cosine).order_by(
        cosines.c.cosine, cosines.c.feature_id
    )
    if cursor is not None:
        after = decode_cursor(cursor, (float, int))
        statement = statement.where(tuple_(cosines.c.cosine, cosines.c.feature_id) > tuple_(*after))
    rows = session.execute(statement.limit(limit + 1)).all()
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = encode_cursor([rows[-1].cosine, rows[-1].feature_id])
    wordings = _wordings(session, [row.feature_id for row in rows], labelings)
    ids = _public_ids(session, [row.feature_id for row in rows])
    first_id, second_id = labelings
    return [
        FeatureDrift(
            id=ids[row.feature_id],
            cosine=row.cosine,
            first=wordings[row.feature_id, first_id],
            second=wordings[row.feature_id, second_id],
        )
        for row in rows
    ], following


def _public_ids(session: Session, feature_ids: Sequence[int]) -> dict[int, str]:
    rows = session.execute(
        select(Feature.id, Feature.index.label("place"), Model.name, Sae.layer, Release.set_name)
        .join(Sae, Sae.id == Feature.sae_id)
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .where(Feature.id.in_(feature_ids))
    )
    return {row.id: str(FeatureId(row.name, row.layer, row.set_name, row.place)) for row in rows}


def _wordings(
    session: Session, feature_ids: Sequence[int], labelings: Sequence[int]
) -> dict[tuple[int, int], str]:
    """Return the wording of each feature as a whole, by each labeling."""
    rows = session.execute(
        select(Label.feature_id, Label.labeling_id, Label.text)
        .where(Label.feature_id.in_(feature_ids), Label.labeling_id.in_(labelings))
        # The whole feature's last, which so is the one that stays.
        .order_by(Label.sense_id.nulls_last(), Label.id)
    )
    return {(row.feature_id, row.labeling_id): row.text for row in rows if row.labeling_id}


def _labelled(session: Session, first_id: int, second_id: int) -> tuple[int, int, int]:
    """Return how many features both have labelled, only the second, and only the first.

    Of those that both have tried: a labeling of few features loses none of the others.
    """
    one, other = aliased(LabelOutcome), aliased(LabelOutcome)

    def has_label(outcome: Any) -> ColumnElement[bool]:
        worded = (Label.labeling_id == outcome.labeling_id) & (
            Label.feature_id == outcome.feature_id
        )
        return exists().where(worded, Label.status == "ok")

    before, after = has_label(one), has_label(other)
    row = session.execute(
        select(
            func.count().filter(before, after),
            func.count().filter(~before, after),
            func.count().filter(before, ~after),
        )
        .select_from(one)
        .join(other, (other.feature_id == one.feature_id) & (other.labeling_id == second_id))
        .where(one.labeling_id == first_id)
    ).one()
    return row[0], row[1], row[2]


def _outcomes(session: Session, first_id: int, second_id: int) -> dict[str, int]:
    one, other = aliased(LabelOutcome), aliased(LabelOutcome)
    rows = session.execute(
        select(one.status, other.status, func.count())
        .join(other, (other.feature_id == one.feature_id) & (other.labeling_id == second_id))
        .where(one.labeling_id == first_id)
        .group_by(one.status, other.status)
        .order_by(func.count().desc(), one.status, other.status)
    )
    return {f"{before}, {after}": count for before, after, count in rows}


def _score_changes(session: Session, first_id: int, second_id: int) -> dict[str, tuple[float, int]]:
    """Return by scorer how scores on the very same windows differ, second less first.

    Of labels of the same sense, which two labelings share that word the senses of one sorting, or
    of the same whole feature.
    """
    one, other = aliased(LabelScore), aliased(LabelScore)
    before, after = aliased(Label), aliased(Label)
    rows = session.execute(
        select(one.scorer, func.avg(other.value - one.value), func.count())
        .join(before, before.id == one.label_id)
        .join(
            after,
            (after.labeling_id == second_id)
            & (after.feature_id == before.feature_id)
            & after.sense_id.is_not_distinct_from(before.sense_id),
        )
        .join(
            other,
            (other.label_id == after.id)
            & (other.scorer == one.scorer)
            & (other.scorer_version == one.scorer_version)
            & (other.judge == one.judge)
            & (other.held_out_sha256 == one.held_out_sha256),
        )
        .where(before.labeling_id == first_id)
        .group_by(one.scorer)
        .order_by(one.scorer)
    )
    return {scorer: (change, count) for scorer, change, count in rows}
