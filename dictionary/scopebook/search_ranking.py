"""Rank what the ways of searching put forward: features, each with its best label."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Boolean, Float, bindparam, cast, func, select
from sqlalchemy.orm import Session

from scopebook.db.arrays import among_given
from scopebook.db.entry_tables import FeatureEntry
from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.search_filters import Filters, entry_conditions, place_of
from scopebook.search_ways import QueryVector, Scope, by_id, by_meaning, by_words, count_about
from scopebook.spelling import QueryWords

Match = Literal["id", "words", "meaning"]

#: Damping of reciprocal rank fusion, the usual value; a hit's share is 1 / (RRF_K + rank).
RRF_K = 60
#: Below this cosine a label is not called near: of unrelated pairs of short English texts almost
#: all lie below with all-MiniLM-L6-v2.
MIN_SIMILARITY = 0.3
#: For each feature there is room for, so many labels are put forward by meaning, of which some are
#: of one feature, and so many features by words; what both put forward ranks best.
NEAREST: Final = 2
SAID: Final = 3
#: What a label that holds only some of the query's words counts beside one that holds all: a long
#: query has words that many labels hold by chance.
SOME_WORDS: Final = 0.5
#: How much of its strength a match loses that speaks of next to none of a feature's examples.
_PARTIAL: Final = 0.5


@dataclass
class Candidate:
    """A feature that answers, and how it came to."""

    score: float = 0.0
    matched: list[Match] = field(default_factory=list)
    similarity: float | None = None
    #: The label that matched best, and how strongly.
    label_id: int | None = None


def find_candidates(
    session: Session,
    text: str,
    words: QueryWords,
    vector: QueryVector | None,
    filters: Filters,
    room: int = 20,
    ways: Sequence[Match] = ("id", "words", "meaning"),
) -> dict[int, Candidate]:
    """Return the features that the ways put forward, enough for so many, each with its score."""
    scope = _scope(session, filters)
    near: list[int] = []
    if vector is not None and "meaning" in ways:
        near = by_meaning(session, vector, scope, NEAREST * room)
    said: list[int] = []
    if "words" in ways:
        said = by_words(session, words, scope, enough=room, most=SAID * room)
    candidates: dict[int, Candidate] = {}
    if "id" in ways:
        _fuse(candidates, "id", [_Found(i, 1.0) for i in by_id(session, text, scope)])
    weighed = _weigh(session, near, said, words, vector)
    for match in ("words", "meaning"):
        if match in ways:
            _fuse(candidates, match, _best(weighed, match))
    for row in weighed:
        candidate = candidates.get(row.feature_id)
        if candidate is not None and "meaning" in candidate.matched:
            candidate.similarity = max(candidate.similarity or 0.0, row.similarity or 0.0)
    return candidates


def _scope(session: Session, filters: Filters) -> Scope:
    scope = Scope(place_of(session, filters), entry_conditions(filters))
    return Scope(scope.sae_ids, scope.conditions, count_about(session, scope))


@dataclass(frozen=True)
class _Weighed:
    """How strongly a label answers by its words and by its meaning; None: it does not."""

    label_id: int
    feature_id: int
    words: float | None
    meaning: float | None
    similarity: float | None
    #: Whether it holds all words of the query, or only some.
    every: bool


def _weigh(
    session: Session,
    near: Sequence[int],
    said: Sequence[int],
    words: QueryWords,
    vector: QueryVector | None,
) -> list[_Weighed]:
    """Return how strongly labels answer, whichever way they were found.

    `near` are labels by their ids; of the features `said`, it is those that hold the query's words.
    The label of a whole feature whose senses have labels of their own puts theirs together, and is
    left out. A sense's label counts by the share of the examples that it speaks of: features that
    are of the concept as a whole come first, and those with many senses do not win by having many
    labels.
    """
    if not near and not said:
        return []
    given: dict[str, Any] = {"near": list(near), "said": list(said)}
    given |= {"some": words.some, "every": words.every}
    if vector is None:
        rows = session.execute(_WEIGHED, given)
    else:
        given |= {"vector": vector.vector, "embedder_id": vector.embedder_id}
        rows = session.execute(_weighed_by(len(vector.vector)), given)
    return [_weighed(row) for row in rows]


_some, _every = (func.to_tsquery("english", bindparam(name)) for name in ("some", "every"))
_holds: Final[Any] = Label.words.op("@@", return_type=Boolean())
_worded_senses = (
    select(FeatureEntry.senses).where(FeatureEntry.feature_id == Label.feature_id).scalar_subquery()
)
_WEIGHED: Final[Any] = (
    select(
        Label.id,
        Label.feature_id,
        Label.sense_id,
        Label.share,
        func.ts_rank(Label.words, _some).label("rank"),
        _holds(_some).label("some"),
        _holds(_every).label("every"),
    )
    .where(
        among_given(Label.id, "near")
        | (among_given(Label.feature_id, "said") & Label.current & _holds(_some)),
        Label.sense_id.is_not(None) | (func.coalesce(_worded_senses, 0) == 0),
    )
    .order_by(Label.id)
)


@cache
def _weighed_by(dimension: int) -> Any:
    """Return `_WEIGHED` with how near each label is to a vector of so many numbers."""
    vector = cast(bindparam("vector", type_=HALFVEC(dimension)), HALFVEC(dimension))
    near = 1 - LabelEmbedding.embedding.op("<=>", return_type=Float())(vector)
    return _WEIGHED.add_columns(near.label("near")).outerjoin(
        LabelEmbedding,
        (LabelEmbedding.label_id == Label.id)
        & (LabelEmbedding.embedder_id == bindparam("embedder_id")),
    )


def _weighed(row: Any) -> _Weighed:
    weight = 1.0
    if row.sense_id is not None and row.share is not None:
        weight = 1.0 - _PARTIAL * (1.0 - row.share)
    near: float | None = getattr(row, "near", None)
    if near is not None and near < MIN_SIMILARITY:
        near = None
    return _Weighed(
        label_id=row.id,
        feature_id=row.feature_id,
        words=(row.rank + row.every) * weight if row.some else None,
        meaning=None if near is None else near * weight,
        similarity=near,
        every=bool(row.every),
    )


@dataclass(frozen=True)
class _Found:
    """A feature that one way has found, how strongly, and by which label."""

    feature_id: int
    strength: float
    label_id: int | None = None
    #: How much of a rank's share it gets.
    counts: float = 1.0


def _best(weighed: Sequence[_Weighed], match: Match) -> list[_Found]:
    """Return each feature with the strength of its best label by one way, strongest first."""
    best: dict[int, _Found] = {}
    for row in weighed:
        strength = row.words if match == "words" else row.meaning
        known = best.get(row.feature_id)
        if strength is not None and strength > (known.strength if known else 0.0):
            counts = SOME_WORDS if match == "words" and not row.every else 1.0
            best[row.feature_id] = _Found(row.feature_id, strength, row.label_id, counts)
    return sorted(best.values(), key=lambda found: (-found.strength, found.feature_id))


def _fuse(candidates: dict[int, Candidate], match: Match, ranked: Sequence[_Found]) -> None:
    """Add one way's ranking by reciprocal rank; an id that matches outranks everything.

    Of those `ranked`, strongest first, equally strong ones share a rank: many labels hold the same
    words equally often, and their order must not decide.
    """
    rank, before = 0, None
    for place, found in enumerate(ranked, start=1):
        rank = rank if found.strength == before else place
        before = found.strength
        candidate = candidates.setdefault(found.feature_id, Candidate())
        candidate.score += 1.0 if match == "id" else found.counts / (RRF_K + rank)
        candidate.matched.append(match)
        # What was said is easier to see than what was meant.
        candidate.label_id = candidate.label_id or found.label_id
