"""Rank what the ways of searching put forward: features, each with its best label."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Boolean, Float, cast, func, select
from sqlalchemy.orm import Session

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
#: Labels that meaning and words put forward for each feature there is room for: some are of one
#: feature, and what both put forward ranks best.
NEAREST: Final = 3
SAID: Final = 6
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
    labels: dict[int, None] = {}
    if vector is not None and "meaning" in ways:
        labels |= dict.fromkeys(by_meaning(session, vector, scope, NEAREST * room))
    if "words" in ways:
        labels |= dict.fromkeys(by_words(session, words, scope, SAID * room))
    candidates: dict[int, Candidate] = {}
    if "id" in ways:
        _fuse(candidates, "id", [(i, 1.0, None) for i in by_id(session, text, scope)])
    weighed = _weigh(session, list(labels), words, vector)
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


def _weigh(
    session: Session,
    label_ids: Sequence[int],
    words: QueryWords,
    vector: QueryVector | None,
) -> list[_Weighed]:
    """Return how strongly each label answers, whichever way it was found.

    The label of a whole feature whose senses have labels of their own puts theirs together, and is
    left out. A sense's label counts by the share of the examples that it speaks of: features that
    are of the concept as a whole come first, and those with many senses do not win by having many
    labels.
    """
    if not label_ids:
        return []
    near: Any = cast(None, Float)
    statement = select(Label.id, Label.feature_id, Label.sense_id, Label.share)
    if vector is not None:
        near = 1 - LabelEmbedding.embedding.op("<=>", return_type=Float())(
            cast(vector.vector, HALFVEC(len(vector.vector)))
        )
        statement = statement.outerjoin(
            LabelEmbedding,
            (LabelEmbedding.label_id == Label.id)
            & (LabelEmbedding.embedder_id == vector.embedder_id),
        )
    some = func.to_tsquery("english", words.some)
    every = func.to_tsquery("english", words.every)
    said = Label.words.op("@@", return_type=Boolean())
    rows = session.execute(
        statement.add_columns(
            func.ts_rank(Label.words, some).label("rank"),
            said(some).label("some"),
            said(every).label("every"),
            near.label("near"),
        )
        .outerjoin(FeatureEntry, FeatureEntry.feature_id == Label.feature_id)
        .where(
            Label.id.in_(label_ids),
            Label.sense_id.is_not(None) | (func.coalesce(FeatureEntry.senses, 0) == 0),
        )
        .order_by(Label.id)
    )
    return [_weighed(row) for row in rows]


def _weighed(row: Any) -> _Weighed:
    weight = 1.0
    if row.sense_id is not None and row.share is not None:
        weight = 1.0 - _PARTIAL * (1.0 - row.share)
    is_near = row.near is not None and row.near >= MIN_SIMILARITY
    return _Weighed(
        label_id=row.id,
        feature_id=row.feature_id,
        words=(row.rank + row.every) * weight if row.some else None,
        meaning=row.near * weight if is_near else None,
        similarity=row.near if is_near else None,
    )


def _best(weighed: Sequence[_Weighed], match: Match) -> list[tuple[int, float, int | None]]:
    """Return each feature with the strength of its best label by one way, strongest first."""
    best: dict[int, tuple[float, int]] = {}
    for row in weighed:
        strength = row.words if match == "words" else row.meaning
        if strength is not None and strength > best.get(row.feature_id, (0.0, 0))[0]:
            best[row.feature_id] = (strength, row.label_id)
    found = [(feature_id, strength, label_id) for feature_id, (strength, label_id) in best.items()]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _fuse(
    candidates: dict[int, Candidate],
    match: Match,
    found: Sequence[tuple[int, float, int | None]],
) -> None:
    """Add one way's ranking by reciprocal rank; an id that matches outranks everything.

    `found` are features with their strength, strongest first. Equally strong ones share a rank:
    many labels hold the same words equally often, and their order must not decide.
    """
    rank, before = 0, None
    for place, (feature_id, strength, label_id) in enumerate(found, start=1):
        rank = rank if strength == before else place
        before = strength
        candidate = candidates.setdefault(feature_id, Candidate())
        candidate.score += 1.0 if match == "id" else 1 / (RRF_K + rank)
        candidate.matched.append(match)
        # What was said is easier to see than what was meant.
        candidate.label_id = candidate.label_id or label_id
