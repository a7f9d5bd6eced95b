"""Drift: what two labelings of one layer say of the same features."""

from fastapi import APIRouter

from scopebook.label_drift import DriftReport, drift
from scopebook_api.deps import Cursor, DbSession, Limit
from scopebook_api.label_schemas import DriftRead
from scopebook_api.schemas import problems

router = APIRouter(prefix="/labels/drift", tags=["labels"], responses=problems(404))


@router.get("", response_model=DriftRead)
def compare(
    session: DbSession, first: int, second: int, limit: Limit = 50, cursor: Cursor = None
) -> DriftReport:
    """Compare two labelings by their ids, which the coverage lists; farthest drifted first."""
    return drift(session, first, second, limit=limit, cursor=cursor)
