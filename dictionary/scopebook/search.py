"""Find features by words, by meaning, and by id, in one ranking."""

import logging
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import Float, Integer, Text, case, cast, func, or_, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import Session, aliased

from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.tables import FEATURE_BITS, Model, Release, Sae
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.feature_views import FeatureInList
from scopebook.features import features_by_id
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.release_names import parse_feature_id
from scopebook.releases import find_saes

log = logging.getLogger(__name__)

Match = Literal["id", "words", "meaning"]

MAX_QUERY = 500
#: Candidates that each way of searching puts forward.
CANDIDATES = 500
#: Damping of reciprocal rank fusion, the usual value; a hit's share is 1 / (RRF_K + rank).
RRF_K = 60
#: Below this cosine a label is not called near: of unrelated pairs of short English texts almost
#: all lie below with all-MiniLM-L6-v2.
MIN_SIMILARITY = 0.3


#: How much of its strength a match loses that speaks of next to none of a feature's examples.
_PARTIAL: Final = 0.5
#: A sense's label counts by the share of the examples that it speaks of: features that are of the
#: concept as a whole come first, and those with many senses do not win by having many labels.
_WEIGHT: Final = case(
    (Label.sense_id.is_(None), 1.0),
    else_=1.0 - _PARTIAL * (1.0 - func.coalesce(Label.share, 1.0)),
)
_sense_label = aliased(Label)
#: The label of a whole feature whose senses have labels of their own puts theirs together.
_SAID_BY_SENSES: Final = (
    select(1)
    .where(
        Label.sense_id.is_(None),
        _sense_label.feature_id == Label.feature_id,
        _sense_label.labeling_id == Label.labeling_id,
        _sense_label.current,
        _sense_label.sense_id.is_not(None),
    )
    .exists()
)


@dataclass(frozen=True)
class QueryVector:
    """A query as the embedder of `embedder_id` sees it, of unit length."""

    embedder_id: int
    vector: list[float]


#: Returns the query's vector, or None when this instance cannot embed.
EmbedQuery = Callable[[str], QueryVector | None]


@dataclass(frozen=True, kw_only=True)
class Hit(FeatureInList):
    """A feature that answers a search."""

    score: float
    matched: list[Match]
    similarity: float | None


@dataclass
class _Candidate:
    score: float
    matched: list[Match]
    similarity: float | None = None


def search_features(
    session: Session,
    query: str,
    *,
    embed: EmbedQuery,
    release: str | None = None,
    layers: Sequence[int] | None = None,
    limit: int = 20,
    cursor: str | None = None,
    preview: bool = False,
) -> tuple[list[Hit], str | None]:
    """Return the features that answer, best first, ties in feature order, and the next cursor.

    A feature counts with its best label: its own or one of its senses'.
    """
    words = clean_query(query)
    # First, while this session holds no connection yet: the embedder looks itself up over one of
    # its own, and requests that each hold one and wait for a second would wait for ever.
    vector = _embedded(embed, words)
    sae_ids = [sae.id for sae in find_saes(session, release=release, layers=layers)]
    candidates: dict[int, _Candidate] = {}
    _fuse(candidates, "id", [(i, 1.0) for i in _by_id(session, words, sae_ids)])
    _fuse(candidates, "words", _by_words(session, words, sae_ids))
    if vector is not None:
        near = _by_meaning(session, vector, sae_ids)
        _fuse(candidates, "meaning", [(feature_id, strength) for feature_id, strength, _ in near])
        for feature_id, _, similarity in near:
            candidates[feature_id].similarity = similarity
    ranked = sorted(candidates.items(), key=lambda item: (-item[1].score, item[0]))
    if cursor is not None:
        score, last = decode_cursor(cursor, [float, int])
        ranked = [item for item in ranked if (-item[1].score, item[0]) > (-score, last)]
    page = ranked[:limit]
    following = None
    if len(ranked) > limit:
        following = encode_cursor([page[-1][1].score, page[-1][0]])
    return _hits(session, page, preview=preview), following


def _embedded(embed: EmbedQuery, words: str) -> QueryVector | None:
    """Return the query's vector; an embedder that is down leaves words and ids to answer."""
    try:
        return embed(words)
    except UnavailableError as error:
        log.warning("Searching without meaning: %s", error)
        return None


def clean_query(query: str) -> str:
    """Return the query without surrounding space, or say what is wrong with it."""
    words = unicodedata.normalize("NFC", query.replace("\x00", " ")).strip()
    if not words:
        raise InvalidInputError(
            "The search is empty; give a word or a phrase, such as 'legal text'."
        )
    if len(words) > MAX_QUERY:
        raise InvalidInputError(
            f"The search has {len(words):,} characters, but at most {MAX_QUERY} are searched; "
            "shorten it to the concept you look for."
        )
    if not any(char.isalnum() or (char.isascii() and char.isprintable()) for char in words):
        raise InvalidInputError(
            f"The search {words[:20]!r} has no letters or digits; describe the concept in words."
        )
    return words


def _fuse(
    candidates: dict[int, _Candidate], match: Match, found: Sequence[tuple[int, float]]
) -> None:
    """Add one way's ranking by reciprocal rank; an id that matches outranks everything.

    `found` are features with their strength, strongest first. Equally strong ones share a rank:
    many labels hold the same words equally often, and their order must not decide.
    """
    rank, before = 0, None
    for place, (feature_id, strength) in enumerate(found, start=1):
        rank = rank if strength == before else place
        before = strength
        candidate = candidates.setdefault(feature_id, _Candidate(0.0, []))
        candidate.score += 1.0 if match == "id" else 1 / (RRF_K + rank)
        candidate.matched.append(match)


def _by_id(session: Session, words: str, sae_ids: Sequence[int]) -> list[int]:
    """Return features that the query names: a full id, or an index alone in any SAE."""
    if re.fullmatch(r"#?\d{1,7}", words):
        index = int(words.lstrip("#"))
        saes = session.execute(
            select(Sae.id, Sae.d_sae).where(Sae.id.in_(sae_ids)).order_by(Sae.id)
        )
        return [(sae_id << FEATURE_BITS) | index for sae_id, d_sae in saes if index < d_sae]
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
            Sae.id.in_(sae_ids),
            Sae.d_sae > wanted.index,
            Sae.layer == wanted.layer,
            Release.set_name == wanted.set_name,
            Model.name == wanted.model,
        )
    )
    return [(sae_id << FEATURE_BITS) | wanted.index for (sae_id,) in rows]


def _by_words(session: Session, words: str, sae_ids: Sequence[int]) -> list[tuple[int, float]]:
    """Return features whose labels hold any of the words, more and rarer words first.

    Scripts without spaces are not words to the full-text parser, so the query as it stands is
    also looked for inside the labels.
    """
    every = func.plainto_tsquery("english", words)
    some = cast(func.replace(cast(every, Text), "&", "|"), TSQUERY)
    inside = Label.text.icontains(words, autoescape=True)
    rank = func.max(
        (
            func.ts_rank(Label.words, some)
            + func.coalesce(cast(Label.words.op("@@")(every), Integer), 0)
            + cast(inside, Integer)
        )
        * _WEIGHT
    )
    rows = session.execute(
        select(Label.feature_id, rank)
        .where(Label.current, Label.sae_id.in_(sae_ids), or_(Label.words.op("@@")(some), inside))
        .where(~_SAID_BY_SENSES)
        .group_by(Label.feature_id)
        .order_by(rank.desc(), Label.feature_id)
        .limit(CANDIDATES)
    )
    return [(feature_id, float(strength)) for feature_id, strength in rows]


def _by_meaning(
    session: Session, query: QueryVector, sae_ids: Sequence[int]
) -> list[tuple[int, float, float]]:
    """Return features with a label near the query by an exact scan, strongest first.

    With each its strength, which is the cosine by the label's weight, and its largest cosine.

    `OFFSET 0` fences the filter off, so that no vector index can answer first and be filtered
    afterwards, which silently returns too few.
    """
    labels = (
        select(LabelEmbedding.label_id, LabelEmbedding.embedding)
        .where(LabelEmbedding.embedder_id == query.embedder_id, LabelEmbedding.sae_id.in_(sae_ids))
        .offset(0)
        .subquery()
    )
    vector = cast(query.vector, HALFVEC(len(query.vector)))
    nearness = 1 - labels.c.embedding.op("<=>", return_type=Float())(vector)
    rank = func.max(nearness * _WEIGHT)
    nearest = func.max(nearness)
    rows = session.execute(
        select(Label.feature_id, rank, nearest)
        .join(labels, labels.c.label_id == Label.id)
        .where(Label.current, ~_SAID_BY_SENSES)
        .group_by(Label.feature_id)
        .having(nearest >= MIN_SIMILARITY)
        .order_by(rank.desc(), Label.feature_id)
        .limit(CANDIDATES)
    )
    return [(feature_id, float(rank), float(nearest)) for feature_id, rank, nearest in rows]


def _hits(session: Session, page: Sequence[tuple[int, _Candidate]], *, preview: bool) -> list[Hit]:
    candidates = dict(page)
    features = features_by_id(session, list(candidates), preview=preview)
    return [Hit(**vars(feature), **vars(candidates[feature.feature_id])) for feature in features]
