"""What the API answers of accounts; written by `make openapi`."""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class AccountChange(TypedDict):
    """What to change of an account; null leaves it as it is."""

    role: Literal["viewer", "annotator", "editor", "admin"] | None
    disabled: bool | None


class AccountMade(TypedDict):
    """A new account, and the link by which its person sets a password."""

    account: AccountRead
    link: LinkRead


class AccountRead(TypedDict):
    """An account without its secrets."""

    id: int
    name: str
    role: Literal["viewer", "annotator", "editor", "admin"]
    has_password: bool
    created_at: str
    disabled_at: str | None
    last_seen_at: str | None


class ActorRead(TypedDict):
    """Who acts."""

    name: str
    role: Literal["viewer", "annotator", "editor", "admin"]
    via: Literal["machine", "login", "token"]


class ApiTokenMade(TypedDict):
    """A new token with its secret."""

    token: ApiTokenRead
    secret: str


class ApiTokenRead(TypedDict):
    """A token without its secret."""

    id: int
    name: str
    account: str
    scope: Literal["read", "annotate", "edit", "admin"]
    hint: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class AuditRead(TypedDict):
    """One entry of the audit log."""

    id: int
    at: str
    account: str
    action: str
    target: str
    details: dict[str, Any]
    address: str | None


class LinkRead(TypedDict):
    """A link that sets an account's password once, within a day."""

    account: str
    url: str


class LinkSecret(TypedDict):
    """The secret of a one-time link: what stands behind `#` in it."""

    secret: str


class LinkUse(TypedDict):
    """The password that a one-time link sets."""

    secret: str
    password: str


class LoginRead(TypedDict):
    """A browser that one is logged in with."""

    id: int
    created_at: str
    last_seen_at: str | None
    address: str | None
    agent: str | None
    this: bool


class LoginRequest(TypedDict):
    """A name and its password."""

    name: str
    password: str


class NewAccount(TypedDict):
    """An account to make."""

    name: str
    role: Literal["viewer", "annotator", "editor", "admin"]


class NewApiToken(TypedDict):
    """A token to make for oneself."""

    name: str
    scope: Literal["read", "annotate", "edit", "admin"]
    days: int | None


class PasswordChange(TypedDict):
    """One's own new password."""

    old: str
    new: str


class Visibility(TypedDict):
    """For whom a release is, beside admins; neither a role nor accounts: for all."""

    role: Literal["viewer", "annotator", "editor", "admin"] | None
    accounts: list[str]


class WhoAmI(TypedDict):
    """Who asks, and how one may log in."""

    me: ActorRead | None
    accounts: bool
    provider: str | None
