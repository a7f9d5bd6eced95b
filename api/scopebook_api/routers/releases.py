"""The releases this instance holds."""

from fastapi import APIRouter

from scopebook.releases import list_releases
from scopebook_api.deps import DbSession
from scopebook_api.schemas import Page, ReleaseRead

router = APIRouter(prefix="/releases", tags=["releases"])


@router.get("", response_model=Page[ReleaseRead])
def browse(session: DbSession) -> dict[str, object]:
    """List all releases with their layers."""
    return {"items": list_releases(session), "next": None}
