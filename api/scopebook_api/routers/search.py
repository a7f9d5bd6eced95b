"""Search features by concept, words or id."""

from typing import Annotated

from fastapi import APIRouter, Query

from scopebook.facets import FACETS, Facet
from scopebook.search import Answer, FacetsOfSearch, Order, search_facets, search_features
from scopebook_api.deps import Cursor, DbSession, Embed, Limit
from scopebook_api.filters import FeatureFilters
from scopebook_api.schemas import problems
from scopebook_api.search_schemas import FacetsRead, SearchPage

router = APIRouter(tags=["search"], responses=problems(404))

_Query = Annotated[str, Query(description="A concept, words of a label, or a feature's id.")]


@router.get("/search", response_model=SearchPage)
def search(
    session: DbSession,
    embed: Embed,
    filters: FeatureFilters,
    q: _Query,
    sort: Annotated[Order, Query(description="Of what answers, what comes first.")] = "relevance",
    limit: Limit = 20,
    cursor: Cursor = None,
    preview: bool = False,
) -> Answer:
    """Find features whose labels mean or say what was asked, best first."""
    return search_features(
        session,
        q,
        embed=embed,
        filters=filters,
        order=sort,
        limit=limit,
        cursor=cursor,
        preview=preview,
    )


@router.get("/search/facets", response_model=FacetsRead)
def facets(
    session: DbSession,
    embed: Embed,
    filters: FeatureFilters,
    q: _Query,
    facet: Annotated[list[Facet] | None, Query(description="Null: all.")] = None,
) -> FacetsOfSearch:
    """Count what each value of a filter would leave of the features that answer best.

    A facet's own filter does not narrow its counts.
    """
    return search_facets(session, q, embed=embed, filters=filters, facets=facet or FACETS)
