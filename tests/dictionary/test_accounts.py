"""Accounts and roles."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from scopebook.accounts import (
    ROLES,
    Actor,
    actor_without_accounts,
    find_account,
    has_accounts,
    list_accounts,
    local_actor,
)
from scopebook.db.account_tables import Account, AuditEntry
from scopebook.errors import ForbiddenError, NotFoundError
from scopebook.imported_authors import author_id


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


def test_an_imported_author_is_nobodys_account(session: Session) -> None:
    author = session.get_one(Account, author_id(session, "local"))

    assert author.name == "local (imported)"
    assert author_id(session, "local") == author.id
    assert actor_without_accounts(session) is not None
    assert not has_accounts(session)
    assert list_accounts(session) == []
    with pytest.raises(NotFoundError, match="no account"):
        find_account(session, "local (imported)")


def test_imported_authors_whose_names_differ_by_capitals_are_two(session: Session) -> None:
    ids = [author_id(session, name) for name in ("Ada", "ada")]

    names = [session.get_one(Account, one).name for one in ids]
    assert names == ["Ada (imported)", "ada (imported 1)"]


@pytest.mark.parametrize(
    "change", [{"disabled_at": None}, {"role": "admin"}, {"password_hash": "x"}]
)
def test_nothing_lets_an_imported_author_in(session: Session, change: dict[str, str]) -> None:
    author = session.get_one(Account, author_id(session, "ada"))

    for column, value in change.items():
        setattr(author, column, value)
    with pytest.raises(IntegrityError, match="imported_cannot_come_in"):
        session.flush()
