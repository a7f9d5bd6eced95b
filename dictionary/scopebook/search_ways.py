"""The ways of finding labels - by meaning, by words, by id - inside what filters leave.

Each way puts forward a bounded number; `scopebook.search` ranks them together. Filters act where
labels are found, never on what was found: an index that answers first and is filtered afterwards
silently returns too few.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ColumnElement,
    Float,
    Select,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.orm import Session

from scopebook.db.arrays import among
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.label_tables import Label, LabelEmbedding, LabelSketch
from scopebook.db.tables import FEATURE_BITS, Model, Release, Sae
from scopebook.errors import InvalidInputError
from scopebook.release_names import parse_feature_id
from scopebook.spelling import QueryWords
from scopebook.vector_index import index_name

#: Nodes of the index that a search keeps in view; more find more and take longer.
_EF_SEARCH: Final = 500
#: Up to so many features are compared one by one, where there are too many vectors for that.
EXACT_UP_TO: Final = 1_500
#: Up to so many by their sketches first; of more the index is asked. Whole SAEs lie together in the
#: index of sketches, what conditions leave lies scattered.
SKETCHED_UP_TO: Final = 20_000
SKETCHED_OF_SAES: Final = 80_000
#: Of what is wanted, so many times as much is put forward by sketches and compared.
_ROUGHLY: Final = 8


@dataclass(frozen=True)
class QueryVector:
    """A query as the embedder of `embedder_id` sees it, of unit length."""

    embedder_id: int
    vector: list[float]


@dataclass(frozen=True)
class Scope:
    """What filters leave: some SAEs (None: all), and of these the features of some conditions."""

    sae_ids: Sequence[int] | None = None
    conditions: Sequence[ColumnElement[bool]] = ()
    #: Features that are left, about; None: all.
    about: int | None = None

    def of(self, sae_id: Any) -> list[ColumnElement[bool]]:
        """Return the condition on a column of SAE ids, if there is one."""
        return [] if self.sae_ids is None else [sae_id.in_(self.sae_ids)]


def by_meaning(session: Session, query: QueryVector, scope: Scope, most: int) -> list[int]:
    """Return the labels in force with the vectors nearest to the query, at most so many."""
    few = scope.about is not None and scope.about <= EXACT_UP_TO
    if few or not _prepared(session, query.embedder_id):
        return list(session.scalars(compared(query, scope).limit(most)))
    sketched = SKETCHED_UP_TO if scope.conditions else SKETCHED_OF_SAES
    if scope.about is None or scope.about > sketched:
        found = list(session.scalars(_through_index(query, scope).limit(most)))
        # Where what the filters leave is far from the query, the index gives up before the end.
        if len(found) == most:
            return found
    return _by_sketches(session, query, scope, most)


def _by_sketches(session: Session, query: QueryVector, scope: Scope, most: int) -> list[int]:
    room = _ROUGHLY * most
    rough = list(session.scalars(_sketched(query, scope).limit(room)))
    vector = cast(query.vector, HALFVEC(len(query.vector)))
    distance = LabelEmbedding.embedding.op("<=>", return_type=Float())(vector)
    # Read before they are sorted: no index of vectors must answer in their place.
    near = (
        select(LabelEmbedding.label_id, distance.label("distance"))
        .where(
            LabelEmbedding.embedder_id == query.embedder_id, among(LabelEmbedding.label_id, rough)
        )
        .join(Label, (Label.id == LabelEmbedding.label_id) & Label.current)
        .offset(0)
        .subquery()
    )
    statement = select(near.c.label_id).order_by(near.c.distance, near.c.label_id).limit(most)
    found = list(session.scalars(statement))
    if len(found) < most and len(rough) == room:
        # Labels that are in force no more, which keep their sketches, took the others' room.
        return list(session.scalars(compared(query, scope).limit(most)))
    return found


def _sketched(query: QueryVector, scope: Scope) -> Select[Any]:
    """Return the query for the labels of a scope whose vectors have most signs in common with it.

    The features stand in an array, which makes one pass over the index of sketches.
    """
    bits = BIT(len(query.vector))
    signs = cast(func.binary_quantize(cast(query.vector, HALFVEC(len(query.vector)))), bits)
    apart = cast(LabelSketch.sketch, bits).op("<~>", return_type=Float())(signs)
    statement = select(LabelSketch.label_id).where(LabelSketch.embedder_id == query.embedder_id)
    if scope.conditions:
        left = select(FeatureEntry.feature_id).where(
            *scope.of(FeatureEntry.sae_id), *scope.conditions
        )
        among = func.array(left.order_by(FeatureEntry.feature_id).scalar_subquery())
        statement = statement.where(LabelSketch.feature_id == func.any(among))
    elif scope.sae_ids is not None:
        statement = statement.where(
            or_(
                false(),
                *(
                    LabelSketch.feature_id.between(first, first + (1 << FEATURE_BITS) - 1)
                    for sae_id in scope.sae_ids
                    for first in [sae_id << FEATURE_BITS]
                ),
            )
        )
    return statement.order_by(apart, LabelSketch.label_id)


def _prepared(session: Session, embedder_id: int) -> bool:
    """Tell whether an embedder's vectors have an index, and set how this transaction asks it."""
    row = session.execute(
        text(
            "SELECT to_regclass(:name) IS NOT NULL AS indexed,"
            " set_config('hnsw.ef_search', :ef, true),"
            " set_config('hnsw.iterative_scan', 'relaxed_order', true)"
        ),
        {"name": index_name(embedder_id), "ef": str(_EF_SEARCH)},
    ).one()
    return bool(row.indexed)


def _through_index(query: QueryVector, scope: Scope) -> Select[Any]:
    dimension = len(query.vector)
    vector = cast(query.vector, HALFVEC(dimension))
    distance = cast(LabelEmbedding.embedding, HALFVEC(dimension)).op("<=>", return_type=Float())(
        vector
    )
    statement = (
        select(LabelEmbedding.label_id)
        # Written out, since the planner must see that the index of this embedder applies.
        .where(LabelEmbedding.embedder_id == literal_column(str(int(query.embedder_id))))
        .where(*scope.of(LabelEmbedding.sae_id))
        .join(Label, (Label.id == LabelEmbedding.label_id) & Label.current)
        .order_by(distance)
    )
    if scope.conditions:
        statement = statement.join(FeatureEntry, FeatureEntry.feature_id == Label.feature_id).where(
            *scope.conditions
        )
    return statement


def compared(query: QueryVector, scope: Scope) -> Select[Any]:
    """Return the query that compares every vector of the scope.

    `OFFSET 0` fences the filters off, so that no index of vectors answers first.
    """
    few = (
        select(LabelEmbedding.label_id, LabelEmbedding.embedding)
        .where(LabelEmbedding.embedder_id == query.embedder_id, *scope.of(LabelEmbedding.sae_id))
        .join(Label, (Label.id == LabelEmbedding.label_id) & Label.current)
    )
    if scope.conditions:
        few = few.join(FeatureEntry, FeatureEntry.feature_id == Label.feature_id).where(
            *scope.of(FeatureEntry.sae_id), *scope.conditions
        )
    labels = few.offset(0).subquery()
    distance = labels.c.embedding.op("<=>", return_type=Float())(
        cast(query.vector, HALFVEC(len(query.vector)))
    )
    return select(labels.c.label_id).order_by(distance, labels.c.label_id)


def by_words(
    session: Session, words: QueryWords, scope: Scope, *, enough: int, most: int
) -> list[int]:
    """Return features with labels in force that hold the query's words, at most so many.

    Those whose labels hold all of them come first; where these are not enough, those that hold
    some. Of more than there is room for, those that came first; what is nearest in meaning is put
    forward anyway.
    """
    if not words.words:
        return []
    found: dict[int, None] = {}
    for asked in dict.fromkeys((words.every, words.some)):
        if len(found) < enough:
            found |= dict.fromkeys(session.scalars(_holding(asked, scope).limit(most)))
    return list(found)[:most]


def _holding(asked: str, scope: Scope) -> Select[Any]:
    """Return the query for features that hold the words: one table, whose indexes are combined."""
    return select(FeatureEntry.feature_id).where(
        FeatureEntry.words.op("@@")(func.to_tsquery("english", asked)),
        *scope.of(FeatureEntry.sae_id),
        *scope.conditions,
    )


def by_id(session: Session, words: str, scope: Scope) -> list[int]:
    """Return features that the query names: a full id, or an index alone in any SAE."""
    if re.fullmatch(r"#?\d{1,7}", words):
        index = int(words.lstrip("#"))
        saes = session.execute(
            select(Sae.id).where(Sae.d_sae > index, *scope.of(Sae.id)).order_by(Sae.id)
        )
        return _left(session, [(sae_id << FEATURE_BITS) | index for (sae_id,) in saes], scope)
    if words.count("/") < 2:
        return []
    try:
        wanted = parse_feature_id(words)
    except InvalidInputError:
        return []
    rows = session.execute(
        select(Sae.id)
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .where(
            *scope.of(Sae.id),
            Sae.d_sae > wanted.index,
            Sae.layer == wanted.layer,
            Release.set_name == wanted.set_name,
            Model.name == wanted.model,
        )
    )
    return _left(session, [(sae_id << FEATURE_BITS) | wanted.index for (sae_id,) in rows], scope)


def _left(session: Session, feature_ids: Sequence[int], scope: Scope) -> list[int]:
    """Return those of the features that the filters leave."""
    if not scope.conditions or not feature_ids:
        return list(feature_ids)
    return list(
        session.scalars(
            select(FeatureEntry.feature_id)
            .where(among(FeatureEntry.feature_id, feature_ids), *scope.conditions)
            .order_by(FeatureEntry.feature_id)
        )
    )


def count_about(session: Session, scope: Scope) -> int | None:
    """Return how many features the planner expects in a scope; None where nothing is left out."""
    if scope.sae_ids is None and not scope.conditions:
        return None
    statement = select(FeatureEntry.feature_id).where(
        *scope.of(FeatureEntry.sae_id), *scope.conditions
    )
    compiled = statement.compile(
        dialect=session.get_bind().dialect, compile_kwargs={"render_postcompile": True}
    )
    plan = session.connection().exec_driver_sql(
        f"EXPLAIN (FORMAT JSON) {compiled}", compiled.params
    )
    [answer] = plan.scalar_one()
    return int(answer["Plan"]["Plan Rows"])
