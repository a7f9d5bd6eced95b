"""The audit log, for admins."""

from fastapi import APIRouter, Depends

from scopebook.audit import list_audit
from scopebook_api.account_schemas import AuditRead
from scopebook_api.deps import Admin, Cursor, DbSession, Limit, kept_nowhere
from scopebook_api.schemas import Page

router = APIRouter(prefix="/audit", tags=["accounts"], dependencies=[Depends(kept_nowhere)])


@router.get("", response_model=Page[AuditRead])
def browse(
    session: DbSession,
    _: Admin,
    account: str | None = None,
    action: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List who changed what, newest first."""
    entries, following = list_audit(
        session, account=account, action=action, limit=limit, cursor=cursor
    )
    return {"items": entries, "next": following}
