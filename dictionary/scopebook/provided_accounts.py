"""Accounts of people for whom an OpenID provider vouches."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from scopebook.account_changes import add_account
from scopebook.accounts import Actor, Role, actor_of, has_accounts, local_actor
from scopebook.audit import record
from scopebook.db.account_tables import Account
from scopebook.errors import ForbiddenError

#: Two first logins of one person must not make two accounts; the number is ours alone.
_ADVISORY_LOCK: Final = 7_263_012
_LONGEST: Final = 36


def account_of_person(
    session: Session,
    issuer: str,
    claims: Mapping[str, Any],
    *,
    new_role: Role | None,
    address: str | None,
) -> Account:
    """Return the account of whom the provider vouches for; made at their first login.

    People are known by the provider's own number for them and never by a name or an address, so
    that nobody comes into an account by taking its name elsewhere.
    """
    session.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    subject = str(claims["sub"])
    account = session.scalar(
        select(Account).where(Account.issuer == issuer, Account.subject == subject)
    )
    if account is None:
        account = _make(session, issuer, subject, claims, new_role)
    if account.disabled_at is not None:
        raise ForbiddenError(f"The account {account.name} is disabled; ask an admin.")
    record(session, actor_of(account, "login", address), "logged in", account.name, how=issuer)
    return account


def _make(
    session: Session, issuer: str, subject: str, claims: Mapping[str, Any], role: Role | None
) -> Account:
    if not has_accounts(session):
        raise ForbiddenError(
            "There is no admin yet; `scopebook user add NAME --role admin` makes the first one."
        )
    if role is None:
        raise ForbiddenError("Nobody comes in for the first time by this way; ask an admin.")
    operator: Actor = local_actor(session)
    account = add_account(session, _free_name(session, claims), role, by=operator)
    account.issuer, account.subject = issuer, subject
    session.flush()
    return account


def _free_name(session: Session, claims: Mapping[str, Any]) -> str:
    """Return a name like the person's own that nobody has."""
    for name in _names(claims):
        if not session.scalar(select(Account.id).where(func.lower(Account.name) == name.lower())):
            return name
    raise AssertionError("numbers do not end")


def _names(claims: Mapping[str, Any]) -> Iterator[str]:
    wanted = [claims.get(claim) for claim in ("preferred_username", "email", "name")]
    for value in wanted:
        if isinstance(value, str) and (name := _as_name(value.split("@")[0])):
            yield name
            yield from (f"{name}-{number}" for number in range(2, 100))
    yield from (f"person-{number}" for number in count(1))


def _as_name(value: str) -> str:
    """Return what an account may be called, or an empty text."""
    plain = re.sub(r"[^\w.-]+", ".", unicodedata.normalize("NFC", value))
    return plain[:_LONGEST].strip(".-")
