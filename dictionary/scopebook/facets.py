"""Facets: how many features each value of a filter would leave."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session

from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.review_tables import FeatureTag, Tag
from scopebook.db.tables import Release, Sae
from scopebook.search_filters import Filters

Facet = Literal[
    "release",
    "layer",
    "state",
    "source",
    "author",
    "script",
    "flag",
    "tag",
    "reviewed",
    "density",
    "score",
]
#: Values of one facet that are listed, the most frequent ones.
MOST: Final = 40
#: Which filter each facet is another view of: its own counts are taken without it.
_FILTER_OF: Final[Mapping[Facet, dict[str, Any]]] = {
    "release": {"release": None},
    "layer": {"layers": None},
    "state": {"states": ()},
    "source": {"sources": ()},
    "author": {"authors": ()},
    "script": {"scripts": ()},
    "flag": {"flags": (), "without_flags": ()},
    "tag": {"tags": ()},
    "reviewed": {"reviewed": None},
    "density": {"density_min": None, "density_max": None},
    "score": {"score_min": None, "score_max": None, "scorers": ()},
}
FACETS: Final = tuple(_FILTER_OF)
#: Borders of the ranges that numbers are counted in.
DENSITY_EDGES: Final = (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)
SCORE_EDGES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, kw_only=True)
class Count:
    """A value of a facet with how many features have it; of numbers, a range."""

    value: str
    count: int
    low: float | None = None
    high: float | None = None


def without(filters: Filters, facet: Facet) -> Filters:
    """Return the filters but for the facet's own."""
    return replace(filters, **_FILTER_OF[facet])


def facet_counts(
    session: Session, facet: Facet, conditions: Sequence[ColumnElement[bool]]
) -> list[Count]:
    """Return the facet's values among the features of the conditions on `FeatureEntry`."""
    if facet in ("density", "score"):
        return _ranges(session, facet, conditions)
    value = _value_of(facet)
    counted = func.count()
    statement = (
        select(value.label("value"), counted)
        .select_from(FeatureEntry)
        .where(*conditions)
        .group_by(value)
        .order_by(counted.desc(), value)
        .limit(MOST)
    )
    if facet in ("release", "layer"):
        statement = _by_sae(facet, conditions)
    elif facet == "tag":
        statement = statement.join(
            FeatureTag, FeatureTag.feature_id == FeatureEntry.feature_id
        ).join(Tag, Tag.id == FeatureTag.tag_id)
    return [
        Count(value=str(row.value).lower() if facet == "reviewed" else str(row.value), count=row[1])
        for row in session.execute(statement)
        if row.value is not None
    ]


def _value_of(facet: Facet) -> Any:
    if facet == "flag":
        return func.unnest(FeatureEntry.flags)
    return {
        "release": FeatureEntry.sae_id,
        "layer": FeatureEntry.sae_id,
        "state": FeatureEntry.state,
        "source": FeatureEntry.source,
        "author": FeatureEntry.author,
        "script": FeatureEntry.script,
        "tag": Tag.name,
        "reviewed": FeatureEntry.reviewed,
    }[facet]


def _by_sae(facet: Facet, conditions: Sequence[ColumnElement[bool]]) -> Any:
    """Count by SAE first: there are few, and their releases and layers are looked up once."""
    by_sae = (
        select(FeatureEntry.sae_id, func.count().label("n"))
        .where(*conditions)
        .group_by(FeatureEntry.sae_id)
        .subquery()
    )
    value: Any = Release.name if facet == "release" else Sae.layer
    counted = func.sum(by_sae.c.n)
    order = (counted.desc(), value) if facet == "release" else (value,)
    return (
        select(value.label("value"), counted)
        .select_from(by_sae)
        .join(Sae, Sae.id == by_sae.c.sae_id)
        .join(Release, Release.id == Sae.release_id)
        .group_by(value)
        .order_by(*order)
    )


def _ranges(
    session: Session, facet: Facet, conditions: Sequence[ColumnElement[bool]]
) -> list[Count]:
    edges = DENSITY_EDGES if facet == "density" else SCORE_EDGES
    column: Any = FeatureEntry.density if facet == "density" else FeatureEntry.score
    last = len(edges) - 2
    bucket = case(*((column < edges[place + 1], place) for place in range(last)), else_=last).label(
        "bucket"
    )
    rows = session.execute(
        select(bucket, func.count()).where(column.is_not(None), *conditions).group_by(bucket)
    )
    counts = {row.bucket: row[1] for row in rows}
    return [
        Count(
            value=f"{edges[place]:g}..{edges[place + 1]:g}",
            count=counts.get(place, 0),
            low=edges[place],
            high=edges[place + 1],
        )
        for place in range(last + 1)
    ]
