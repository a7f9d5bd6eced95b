"""The audit log: who changed what, when and from where."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.account_tables import AuditEntry
from scopebook.paging import decode_cursor, encode_cursor


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """One entry of the log."""

    id: int
    at: datetime
    account: str
    action: str
    target: str
    details: dict[str, Any]
    address: str | None


def record(session: Session, actor: Actor, action: str, target: str, **details: Any) -> None:
    """Note in the log what `actor` does; it stands there if this session commits."""
    session.add(
        AuditEntry(
            account_id=actor.account_id,
            account_name=actor.name,
            action=action,
            target=target,
            details={**details, **({"via": "token"} if actor.via == "token" else {})},
            address=actor.address,
        )
    )


def record_stranger(session: Session, name: str, action: str, *, address: str | None) -> None:
    """Note what somebody tried who called himself `name`."""
    session.add(
        AuditEntry(
            account_name=name[:100].replace("\0", ""),
            action=action,
            target="",
            details={},
            address=address,
        )
    )


def list_audit(
    session: Session,
    *,
    account: str | None = None,
    action: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[AuditReport], str | None]:
    """Return entries, newest first, and the next page's cursor."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit + 1)
    if account is not None:
        statement = statement.where(AuditEntry.account_name == account)
    if action is not None:
        statement = statement.where(AuditEntry.action == action)
    if cursor is not None:
        statement = statement.where(AuditEntry.id < decode_cursor(cursor, [int])[0])
    entries = list(session.scalars(statement))
    following = encode_cursor([entries[limit - 1].id]) if len(entries) > limit else None
    return [_report(entry) for entry in entries[:limit]], following


def _report(entry: AuditEntry) -> AuditReport:
    return AuditReport(
        id=entry.id,
        at=entry.at,
        account=entry.account_name,
        action=entry.action,
        target=entry.target,
        details=entry.details,
        address=entry.address,
    )
