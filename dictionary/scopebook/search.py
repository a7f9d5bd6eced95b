"""Find features by words, by meaning, and by id, in one ranking."""

import logging
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.arrays import among
from scopebook.db.entry_tables import FeatureEntry
from scopebook.errors import InvalidInputError, UnavailableError
from scopebook.facets import FACETS, Count, Facet, facet_counts, without
from scopebook.feature_views import FeatureInList
from scopebook.features import features_by_id
from scopebook.highlights import Why, reasons
from scopebook.paging import decode_cursor, encode_cursor, pack_ids, unpack_ids
from scopebook.search_filters import Filters
from scopebook.search_ranking import Candidate, Match, find_candidates
from scopebook.search_ways import QueryVector
from scopebook.spelling import QueryWords, words_of

log = logging.getLogger(__name__)

Order = Literal["relevance", "density", "max", "score"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)

MAX_QUERY = 500
#: Features that one search can be paged through.
MOST_SEEN: Final = 600
#: Facets count among the features that answer best, about so many, and these are sorted by numbers.
COUNTED: Final = 100
#: Returns the query's vector, or None when this instance cannot embed.
EmbedQuery = Callable[[str], QueryVector | None]


@dataclass(frozen=True, kw_only=True)
class Hit(FeatureInList):
    """A feature that answers a search."""

    score: float
    matched: list[Match]
    similarity: float | None
    why: Why | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A page of hits, the next page's cursor, and words that were searched for mistyped ones."""

    items: list[Hit]
    next: str | None
    meant: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class FacetsOfSearch:
    """Counts over so many features that answer; whether more may answer."""

    of: int
    more: bool
    facets: dict[Facet, list[Count]]


def search_features(
    session: Session,
    query: str,
    *,
    embed: EmbedQuery,
    filters: Filters | None = None,
    order: Order = "relevance",
    limit: int = 20,
    cursor: str | None = None,
    preview: bool = False,
) -> Answer:
    """Return the features that answer, best first, ties in feature order.

    A feature counts with its best label: its own or one of its senses'. A page holds the best that
    no page before it has held, so that paging neither repeats nor skips while labels change.
    """
    text = clean_query(query)
    # First, while this session holds no connection yet: the embedder looks itself up over one of
    # its own, and requests that each hold one and wait for a second would wait for ever.
    vector = _embedded(embed, text)
    seen = [] if cursor is None else unpack_ids(decode_cursor(cursor, [str])[0])
    words = words_of(session, text)
    room = limit + len(seen)
    if order != "relevance":
        room = max(room, COUNTED)  # what comes first by a number may be no near answer
    candidates = find_candidates(session, text, words, vector, filters or Filters(), room)
    for feature_id in seen:
        candidates.pop(feature_id, None)
    ranked = _ranked(session, candidates, order)
    page = ranked[:limit]
    seen += [feature_id for feature_id, _ in page]
    more = len(ranked) > limit and len(seen) < MOST_SEEN
    return Answer(
        items=_hits(session, dict(page), words, preview=preview),
        next=encode_cursor([pack_ids(seen)]) if more else None,
        meant=words.meant,
    )


def _ranked(
    session: Session, candidates: dict[int, Candidate], order: Order
) -> list[tuple[int, Candidate]]:
    """Return the candidates in order; by a number, those without it come last."""
    ranked = sorted(candidates.items(), key=lambda item: (-item[1].score, item[0]))
    if order == "relevance":
        return ranked
    value: Any = getattr(FeatureEntry, order)
    rows = session.execute(
        select(FeatureEntry.feature_id, value).where(among(FeatureEntry.feature_id, candidates))
    )
    numbers = {feature_id: number for feature_id, number in rows if number is not None}
    return sorted(ranked, key=lambda item: -numbers.get(item[0], -1.0))


def search_facets(
    session: Session,
    query: str,
    *,
    embed: EmbedQuery,
    filters: Filters,
    facets: Sequence[Facet] = FACETS,
) -> FacetsOfSearch:
    """Return counts over the features that answer best, of each facet without its own filter."""
    text = clean_query(query)
    vector = _embedded(embed, text)
    words = words_of(session, text)
    found: dict[Filters, list[int]] = {}
    counts: dict[Facet, list[Count]] = {}
    for facet in facets:
        left = without(filters, facet)
        if left not in found:
            found[left] = list(find_candidates(session, text, words, vector, left, COUNTED))
        counts[facet] = facet_counts(session, facet, [among(FeatureEntry.feature_id, found[left])])
    if filters not in found:
        found[filters] = list(find_candidates(session, text, words, vector, filters, COUNTED))
    of = len(found[filters])
    return FacetsOfSearch(of=of, more=of >= COUNTED, facets=counts)


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


def _hits(
    session: Session, page: dict[int, Candidate], words: QueryWords, *, preview: bool
) -> list[Hit]:
    features = features_by_id(session, list(page), preview=preview)
    chosen = [one.label_id for one in page.values() if one.label_id is not None]
    why = reasons(session, chosen, words)
    return [
        Hit(
            **vars(feature),
            score=found.score,
            matched=found.matched,
            similarity=found.similarity,
            why=why.get(found.label_id or 0),
        )
        for feature in features
        for found in [page[feature.feature_id]]
    ]
