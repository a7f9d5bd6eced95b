"""The releases this instance holds."""

from fastapi import APIRouter

from scopebook.releases import list_releases
from scopebook.visibility import VisibilityView, read_visibility, set_visibility
from scopebook_api.account_schemas import Visibility
from scopebook_api.deps import Admin, DbSession
from scopebook_api.schemas import Page, ReleaseRead, problems

router = APIRouter(prefix="/releases", tags=["releases"])


@router.get("", response_model=Page[ReleaseRead])
def browse(session: DbSession) -> dict[str, object]:
    """List all releases with their layers."""
    return {"items": list_releases(session), "next": None}


@router.get(
    "/{release:path}/visibility",
    response_model=Visibility,
    tags=["accounts"],
    responses=problems(404),
)
def read_who_sees(session: DbSession, _: Admin, release: str) -> VisibilityView:
    """Say for whom a release is."""
    return read_visibility(session, release)


@router.put(
    "/{release:path}/visibility",
    response_model=Visibility,
    tags=["accounts"],
    responses=problems(404),
)
def set_who_sees(session: DbSession, me: Admin, release: str, wanted: Visibility) -> VisibilityView:
    """Keep a release for a role and for some accounts; for others it is not there."""
    return set_visibility(session, release, role=wanted.role, accounts=wanted.accounts, by=me)
