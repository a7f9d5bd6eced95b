"""Accounts for tests, and clients that act as them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from apps import app_over
from scopebook.account_changes import add_account
from scopebook.accounts import Actor, actor_of, find_account, local_actor
from scopebook.credentials import digest, new_secret
from scopebook.db.account_tables import Account, ApiToken
from scopebook.db.sessions import Sessions
from scopebook.logins import start_session

HERE = "http://localhost:8000"
PASSWORD = "four random words here"
OWN = {"X-Scopebook": "1"}


def make_account(session: Session, name: str, role: str = "viewer") -> Account:
    """Add an account without a password, since hashing takes long."""
    return add_account(session, name, role, by=local_actor(session))


def make_actor(session: Session, name: str, role: str = "viewer") -> Actor:
    """Add an account; return it as the one who acts."""
    return actor_of(make_account(session, name, role), "login", "192.0.2.7")


def make_token(
    session: Session,
    owner: str,
    scope: str = "read",
    *,
    expired: bool = False,
    revoked: bool = False,
) -> str:
    """Add a token and return its secret."""
    secret, now = new_secret("sb_"), datetime.now(UTC)
    session.add(
        ApiToken(
            account_id=find_account(session, owner).id,
            name="test",
            sha256=digest(secret),
            hint=secret[:7],
            scope=scope,
            expires_at=now - timedelta(seconds=1) if expired else now + timedelta(days=1),
            revoked_at=now if revoked else None,
        )
    )
    session.flush()
    return secret


def bearer(secret: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {secret}"}


def cookie_of(session: Session, name: str) -> dict[str, str]:
    """Log an account in, without its password; return the headers of its browser."""
    secret = start_session(session, find_account(session, name), days=1)
    return {"Cookie": f"scopebook_8000={secret}", **OWN}


def client_of(
    sessions: Sessions,
    *,
    app: FastAPI | None = None,
    address: str = "127.0.0.1",
    base_url: str = HERE,
    headers: Mapping[str, str] | None = None,
) -> TestClient:
    """Return a client at some address, over an app that cannot embed queries."""
    return TestClient(
        app or app_over(sessions),
        base_url=base_url,
        client=(address, 50000),
        headers=dict(headers or {}),
        raise_server_exceptions=False,
    )
