"""Accounts and roles."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from scopebook.accounts import ROLES, Actor, find_account, list_accounts, local_actor
from scopebook.db.account_tables import Account, AuditEntry
from scopebook.errors import ForbiddenError, NotFoundError


def test_a_new_dictionary_has_one_account_which_needs_no_login(session: Session) -> None:
    actor = local_actor(session)

    assert (actor.name, actor.role) == ("local", "admin")
    assert find_account(session, "local").password_hash is None
    assert list_accounts(session) == []


def test_names_differ_by_more_than_capitals(session: Session) -> None:
    session.add(Account(name="Ada", role="viewer"))
    session.flush()

    assert find_account(session, "aDA").name == "Ada"
    session.add(Account(name="ADA", role="viewer"))
    with pytest.raises(IntegrityError, match="uq_account_name"):
        session.flush()


def test_an_unknown_account_is_named_in_the_refusal(session: Session) -> None:
    with pytest.raises(NotFoundError, match="'ben'"):
        find_account(session, "ben")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("needed", ROLES)
def test_a_role_may_do_what_lower_ones_may(role: str, needed: str) -> None:
    actor = Actor(account_id=1, name="ada", role=role)

    if ROLES.index(role) >= ROLES.index(needed):
        actor.require(needed)
    else:
        with pytest.raises(ForbiddenError, match=f"ada acts as {role} here"):
            actor.require(needed)


@pytest.mark.parametrize(
    "change",
    ["UPDATE audit_entry SET target = ''", "DELETE FROM audit_entry", "TRUNCATE audit_entry"],
)
def test_the_audit_log_only_grows(session: Session, change: str) -> None:
    session.add(AuditEntry(account_name="ada", action="logged in", target="ada", details={}))
    session.flush()

    with pytest.raises(DBAPIError, match="the audit log only grows"):
        session.execute(text(change))
