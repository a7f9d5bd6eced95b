"""Logins: a password against a session, and a session against who acts."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Interval, Select, and_, cast, delete, func, literal, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from scopebook.accounts import Actor, actor_of, is_person
from scopebook.audit import record, record_stranger
from scopebook.credentials import check_password, digest, new_secret
from scopebook.db.account_tables import Account, LoginSession
from scopebook.errors import NotFoundError

T = TypeVar("T")

#: After so long a browser logs in again, however busy it is.
LONGEST_SESSION: Final = timedelta(days=90)
#: How exactly it is kept when somebody was last there; each note is a write.
SEEN_EVERY: Final = timedelta(minutes=1)
#: Of what a browser calls itself.
LONGEST_AGENT: Final = 300


class Known(NamedTuple):
    """Who acts, and whether it is time to note that they were here."""

    actor: Actor
    unseen: bool


@dataclass(frozen=True, kw_only=True)
class LoginView:
    """A browser that an account is logged in with."""

    id: int
    created_at: datetime
    last_seen_at: datetime | None
    address: str | None
    agent: str | None
    #: Whether it is the one that asks.
    this: bool


def log_in(session: Session, name: str, password: str, *, address: str | None) -> Account | None:
    """Return the account if the password is its own; None, and no reason, in any other case."""
    account = session.scalar(
        select(Account).where(func.lower(Account.name) == name.lower(), is_person())
    )
    right, stronger = check_password(password, account.password_hash if account else None)
    if account is None or not right or account.disabled_at is not None:
        record_stranger(session, name, "failed to log in", address=address)
        return None
    if stronger is not None:
        account.password_hash = stronger
    record(session, actor_of(account, "login", address), "logged in", account.name)
    return account


def start_session(
    session: Session,
    account: Account,
    *,
    days: int,
    address: str | None = None,
    agent: str | None = None,
) -> str:
    """Return the secret of a new login; those that have expired are swept out."""
    secret = new_secret()
    session.execute(delete(LoginSession).where(LoginSession.expires_at < func.now()))
    session.add(
        LoginSession(
            sha256=digest(secret),
            account_id=account.id,
            expires_at=func.now() + timedelta(days=days),
            address=address,
            agent=agent and agent[:LONGEST_AGENT],
        )
    )
    return secret


def actor_of_session(session: Session, secret: str, *, address: str | None) -> Known | None:
    """Return who is logged in by that secret; None if nobody is (any more)."""
    row = session.execute(
        select(
            Account,
            and_(
                Account.last_seen_at > func.now() - SEEN_EVERY,
                LoginSession.last_seen_at > func.now() - SEEN_EVERY,
            ),
        )
        .join(LoginSession, LoginSession.account_id == Account.id)
        .where(
            LoginSession.sha256 == digest(secret),
            LoginSession.expires_at > func.now(),
            Account.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    account, seen = row
    return Known(actor_of(account, "login", address), not seen)


def prolong(session: Session, secret: str, *, days: int, address: str | None = None) -> None:
    """Put off the end of a login that is used, and note when and from where that was."""
    latest = LoginSession.created_at + cast(literal(LONGEST_SESSION), Interval)
    ours = unlocked(LoginSession.sha256, digest(secret))
    session.execute(
        update(LoginSession)
        .where(LoginSession.sha256.in_(ours))
        .values(
            expires_at=func.least(func.now() + timedelta(days=days), latest),
            last_seen_at=func.now(),
            address=address,
        )
    )


def note_seen(session: Session, account_id: int) -> None:
    """Note that an account was here now."""
    ours = unlocked(Account.id, account_id)
    session.execute(update(Account).where(Account.id.in_(ours)).values(last_seen_at=func.now()))


def unlocked(key: InstrumentedAttribute[T], value: T) -> Select[T]:
    """Return a query for the row of that key, unless another request is at it.

    Requests of one page come together; none must wait until another one, which notes the same, is
    over.
    """
    return select(key).where(key == value).with_for_update(key_share=True, skip_locked=True)


def log_out(session: Session, secret: str) -> None:
    """End one login."""
    session.execute(delete(LoginSession).where(LoginSession.sha256 == digest(secret)))


def list_logins(session: Session, account_id: int, secret: str) -> list[LoginView]:
    """Return the browsers of an account: the one that asks, then the others, used last first."""
    ours = digest(secret)
    used = func.coalesce(LoginSession.last_seen_at, LoginSession.created_at)
    rows = session.scalars(
        select(LoginSession)
        .where(LoginSession.account_id == account_id, LoginSession.expires_at > func.now())
        .order_by((LoginSession.sha256 == ours).desc(), used.desc(), LoginSession.id.desc())
    )
    return [
        LoginView(
            id=row.id,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            address=row.address,
            agent=row.agent,
            this=row.sha256 == ours,
        )
        for row in rows
    ]


def end_login(session: Session, actor: Actor, login_id: int) -> bytes:
    """End one of the actor's own logins; return the digest of its secret."""
    ended: bytes | None = session.scalar(
        delete(LoginSession)
        .where(LoginSession.id == login_id, LoginSession.account_id == actor.account_id)
        .returning(LoginSession.sha256)
    )
    if ended is None:
        raise NotFoundError(
            f"You are not logged in by login {login_id}; take an id from your logins."
        )
    record(session, actor, "logged a browser out", actor.name, login=login_id)
    return ended
