"""Verdicts as they were given, and one action on many features."""

from typing import Annotated

from fastapi import APIRouter, Path

from scopebook import bulk_reviews
from scopebook.annotations import list_reviews
from scopebook.bulk_reviews import BulkReport
from scopebook.feature_names import names_of, row_ids_of
from scopebook_api.deps import Annotator, Cursor, DbSession, Limit
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.review_schemas import BulkRead, BulkRequest, GivenReviewRead
from scopebook_api.schemas import Page

router = APIRouter(prefix="/reviews", tags=["reviews"], route_class=KeyedRoute)


@router.get("", response_model=Page[GivenReviewRead])
def browse(
    session: DbSession, author: str | None = None, limit: Limit = 50, cursor: Cursor = None
) -> dict[str, object]:
    """List verdicts, newest first."""
    found, following = list_reviews(session, author=author, limit=limit, cursor=cursor)
    names = names_of(session, {review.feature_id for review in found})
    # Of releases that are hidden from who asks nothing is told.
    items = [
        vars(review) | {"feature": names[review.feature_id]}
        for review in found
        if review.feature_id in names
    ]
    return {"items": items, "next": following}


@router.post("/bulk", response_model=BulkRead)
def preview(session: DbSession, me: Annotator, wanted: BulkRequest) -> dict[str, object]:
    """Say what an action on many features would do; nothing is changed until it is applied."""
    ids = row_ids_of(session, wanted.features)
    action = wanted.model_dump(include={"kind", "tag", "reason"})
    return _shown(session, bulk_reviews.preview_bulk(session, me, list(ids.values()), action))


@router.post("/bulk/{token}/apply", response_model=BulkRead)
def apply(
    session: DbSession, me: Annotator, token: Annotated[str, Path(max_length=100)]
) -> dict[str, object]:
    """Do what was previewed; features that were changed since are left out and named."""
    return _shown(session, bulk_reviews.apply_bulk(session, me, token))


@router.post("/bulk/{bulk_id}/undo", response_model=BulkRead)
def undo(
    session: DbSession, me: Annotator, bulk_id: Annotated[int, Path(ge=1, lt=2**63)]
) -> dict[str, object]:
    """Undo all that an action did, but for what later changes rest on."""
    return _shown(session, bulk_reviews.undo_bulk(session, me, bulk_id))


def _shown(session: DbSession, report: BulkReport) -> dict[str, object]:
    names = names_of(session, {item.feature_id for item in report.items})
    items = [{"feature": names[i.feature_id], "refusal": i.refusal} for i in report.items]
    return vars(report) | {"items": items}
