"""The tables of accounts: who may come in, by what, and what they changed.

Secrets (sessions, links, tokens) are random and kept as SHA-256 only: who reads the database
cannot use them. Accounts are disabled and never deleted, since what people said carries their name.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, Created, Moment

ROLES = ("viewer", "annotator", "editor", "admin")
_KNOWN_ROLE = "role IN ({})".format(", ".join(f"'{role}'" for role in ROLES))


class Account(Base):
    """A person, `local` (whoever sits at the machine of an instance without accounts), or a name.

    The last is an author of another instance, whose words came in with a dump: nobody's account.
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    #: Argon2, with its salt and cost; null: no password can be given.
    password_hash: Mapped[str | None]
    #: Who vouches for this account instead of a password, and under which name there.
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    created_at: Mapped[Created]
    disabled_at: Mapped[Moment | None]
    last_seen_at: Mapped[Moment | None]
    #: Whose words came in with a dump, by the name there; null: an account of this instance.
    imported_name: Mapped[str | None] = mapped_column(unique=True)

    __table_args__ = (
        CheckConstraint(_KNOWN_ROLE, name="known_role"),
        CheckConstraint(
            "imported_name IS NULL OR (disabled_at IS NOT NULL AND role = 'viewer'"
            " AND password_hash IS NULL AND issuer IS NULL)",
            name="imported_cannot_come_in",
        ),
        CheckConstraint("(issuer IS NULL) = (subject IS NULL)", name="issuer_with_subject"),
        UniqueConstraint("issuer", "subject"),
        Index("uq_account_name", sql("lower(name)"), unique=True),
    )


class LoginSession(Base):
    """One browser that is logged in."""

    __tablename__ = "login_session"

    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    #: By which its person names it, without the secret.
    id: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[Created]
    expires_at: Mapped[Moment]
    #: Null: not yet, or not since this is kept.
    last_seen_at: Mapped[Moment | None]
    #: From where it was used last, and what the browser calls itself.
    address: Mapped[str | None]
    agent: Mapped[str | None]


class OneTimeLink(Base):
    """A link that sets a password once."""

    __tablename__ = "one_time_link"

    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    created_at: Mapped[Created]
    expires_at: Mapped[Moment]
    used_at: Mapped[Moment | None]


class ApiToken(Base):
    """What a script shows instead of a login; it may do no more than its scope and its owner."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    name: Mapped[str]
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    #: Its first characters, by which its owner tells it from others.
    hint: Mapped[str]
    scope: Mapped[str]
    created_at: Mapped[Created]
    expires_at: Mapped[Moment | None]
    last_used_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint("scope IN ('read', 'annotate', 'edit', 'admin')", name="known_scope"),
    )


class AuditEntry(Base):
    """Who changed what; a trigger refuses to change or delete entries."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[Created] = mapped_column(index=True)
    #: Null where nobody was known: a failed login, the operator at the command line.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"), index=True)
    #: As it was then.
    account_name: Mapped[str]
    action: Mapped[str]
    #: What was changed, in words of the action.
    target: Mapped[str]
    details: Mapped[dict[str, Any]]
    address: Mapped[str | None]


class ReleaseVisibility(Base):
    """One role (and those above it) or one account that sees a release; without rows all do."""

    __tablename__ = "release_visibility"

    id: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[int] = mapped_column(ForeignKey("release.id", ondelete="CASCADE"))
    role: Mapped[str | None]
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))

    __table_args__ = (
        CheckConstraint(_KNOWN_ROLE, name="known_role"),
        CheckConstraint("(role IS NULL) <> (account_id IS NULL)", name="role_or_account"),
        UniqueConstraint("release_id", "role", "account_id", postgresql_nulls_not_distinct=True),
    )
