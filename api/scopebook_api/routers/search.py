"""Search features by concept, words or id."""

from typing import Annotated

from fastapi import APIRouter, Query

from scopebook.search import search_features
from scopebook_api.deps import Cursor, DbSession, Embed, Limit
from scopebook_api.schemas import Page, SearchHit

router = APIRouter(tags=["search"])


@router.get("/search", response_model=Page[SearchHit])
def search(
    session: DbSession,
    embed: Embed,
    q: Annotated[str, Query(description="A concept, words of a label, or a feature's id.")],
    release: str | None = None,
    layer: Annotated[list[int] | None, Query()] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    preview: bool = False,
) -> dict[str, object]:
    """Find features whose labels mean or say what was asked, best first."""
    hits, following = search_features(
        session,
        q,
        embed=embed,
        release=release,
        layers=layer,
        limit=limit,
        cursor=cursor,
        preview=preview,
    )
    return {"items": hits, "next": following}
