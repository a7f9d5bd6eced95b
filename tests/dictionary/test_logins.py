"""Logins and tokens: who acts by a secret, and for how long."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from people import PASSWORD, make_account, make_actor, make_token
from scopebook.account_changes import disable_account, enable_account, set_password
from scopebook.accounts import ROLES, local_actor
from scopebook.audit import list_audit
from scopebook.db.account_tables import Account, ApiToken, LoginSession
from scopebook.db.sessions import Sessions
from scopebook.errors import ForbiddenError, InvalidInputError, NotFoundError
from scopebook.logins import (
    actor_of_session,
    list_logins,
    log_in,
    log_out,
    note_seen,
    prolong,
    start_session,
)
from scopebook.tokens import SCOPES, actor_of_token, create_token, list_tokens, revoke_token


@pytest.fixture
def ada(session: Session) -> Account:
    """An account with a password."""
    make_account(session, "boss", "admin")
    account = make_account(session, "ada", "editor")
    set_password(session, account, PASSWORD, by=local_actor(session), how="test")
    return account


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", PASSWORD + "!"), ("ada", ""), ("ben", PASSWORD), ("local", ""), ("", "x" * 5000)],
)
def test_a_failed_login_gives_no_reason_and_stands_in_the_log(
    session: Session, ada: Account, name: str, password: str
) -> None:
    assert log_in(session, name, password, address="192.0.2.9") is None

    entry = list_audit(session, action="failed to log in")[0][0]
    assert (entry.account, entry.address) == (name, "192.0.2.9")


def test_who_is_shut_out_is_out_at_once_and_needs_no_new_token_to_come_back(
    session: Session, ada: Account
) -> None:
    login = start_session(session, ada, days=1)
    token = make_token(session, "ada")
    operator = local_actor(session)

    disable_account(session, "ada", by=operator)

    session.flush()
    assert log_in(session, "ada", PASSWORD, address=None) is None
    assert actor_of_session(session, login, address=None) is None
    assert actor_of_token(session, token, address=None) is None
    enable_account(session, "ada", by=operator)
    session.flush()
    assert actor_of_session(session, login, address=None) is None
    assert actor_of_token(session, token, address=None) is not None


def test_a_login_that_is_used_lasts_longer_but_not_for_ever(session: Session, ada: Account) -> None:
    secret = start_session(session, ada, days=2)
    session.flush()
    lasts = select(LoginSession.expires_at - LoginSession.created_at)
    age = text("UPDATE login_session SET created_at = created_at - make_interval(days => :days)")

    session.execute(age, {"days": 1})
    prolong(session, secret, days=2)
    assert session.scalar(lasts) == timedelta(days=3)

    session.execute(age, {"days": 88})
    prolong(session, secret, days=14)
    assert session.scalar(lasts) == timedelta(days=90)


def test_an_expired_login_is_none_and_is_swept_out_by_the_next(
    session: Session, ada: Account
) -> None:
    secret = start_session(session, ada, days=1)
    session.flush()
    session.execute(text("UPDATE login_session SET expires_at = now()"))
    assert actor_of_session(session, secret, address=None) is None

    session.execute(text("UPDATE login_session SET expires_at = now() - interval '1 second'"))
    start_session(session, ada, days=1)
    session.flush()

    assert len(session.scalars(select(LoginSession)).all()) == 1


def test_logging_out_ends_this_login_only(session: Session, ada: Account) -> None:
    first, second = (start_session(session, ada, days=1) for _ in range(2))
    session.flush()

    log_out(session, first)

    assert actor_of_session(session, first, address=None) is None
    assert actor_of_session(session, second, address=None) is not None


def test_when_somebody_was_here_is_noted_once_a_minute(session: Session, ada: Account) -> None:
    secret = start_session(session, ada, days=1)
    session.flush()
    known = actor_of_session(session, secret, address=None)
    assert known is not None
    assert known.unseen

    note_seen(session, ada.id)
    # Of each browser it is noted by itself, though its person was here by another one.
    known = actor_of_session(session, secret, address=None)
    assert known is not None
    assert known.unseen
    prolong(session, secret, days=1, address="192.0.2.9")

    known = actor_of_session(session, secret, address=None)
    assert known is not None
    assert not known.unseen
    [login] = list_logins(session, ada.id, secret)
    assert (login.this, login.address) == (True, "192.0.2.9")


def test_requests_of_one_page_do_not_wait_for_each_other_to_note_the_same(
    sessions: Sessions,
) -> None:
    with sessions.begin() as session:
        account = make_account(session, "ada")
    with sessions.begin() as first, sessions.begin() as second:
        second.execute(text("SET LOCAL lock_timeout = '1s'"))

        note_seen(first, account.id)
        note_seen(second, account.id)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("role", ROLES)
def test_a_token_acts_in_the_lesser_of_its_scope_and_its_owners_role(
    session: Session, role: str, scope: str
) -> None:
    make_account(session, "ada", role)

    known = actor_of_token(session, make_token(session, "ada", scope), address="192.0.2.1")

    assert known is not None
    lesser = min(ROLES.index(role), SCOPES.index(scope))
    assert (known.actor.name, known.actor.role) == ("ada", ROLES[lesser])
    assert (known.actor.via, known.actor.address) == ("token", "192.0.2.1")


def test_a_tokens_secret_is_told_once_and_not_kept(session: Session, ada: Account) -> None:
    operator = local_actor(session)

    view, secret = create_token(session, "ci", owner="ada", scope="edit", days=7, by=operator)

    assert secret.startswith(view.hint)
    assert len(secret) > len(view.hint) + 30
    assert view.expires_at is not None
    assert view.expires_at - view.created_at == timedelta(days=7)
    assert secret not in str(session.execute(text("SELECT to_jsonb(t) FROM api_token t")).all())
    assert list_tokens(session, owner="ADA") == [view]


def test_a_token_can_do_no_more_than_its_owner(session: Session, ada: Account) -> None:
    with pytest.raises(ForbiddenError, match="may do no more than its owner"):
        create_token(session, "ci", owner="ada", scope="admin", days=None, by=local_actor(session))


@pytest.mark.parametrize(
    ("name", "scope", "days"), [("", "read", 1), ("x", "all", 1), ("x", "read", 0)]
)
def test_a_token_that_cannot_be_is_refused(
    session: Session, ada: Account, name: str, scope: str, days: int
) -> None:
    with pytest.raises(InvalidInputError):
        create_token(session, name, owner="ada", scope=scope, days=days, by=local_actor(session))


def test_a_revoked_token_is_worthless_and_stays_listed(session: Session, ada: Account) -> None:
    secret = make_token(session, "ada")
    token_id = session.scalars(select(ApiToken.id)).one()

    first = revoke_token(session, token_id, by=local_actor(session))
    again = revoke_token(session, token_id, by=local_actor(session))

    assert first.revoked_at is not None
    assert again == first
    session.flush()
    assert actor_of_token(session, secret, address=None) is None
    assert [view.id for view in list_tokens(session)] == [token_id]


@pytest.mark.parametrize("token_id", [-1, 0, 2**31, 10**30])
def test_a_number_that_no_token_has_is_not_found(session: Session, token_id: int) -> None:
    with pytest.raises(NotFoundError, match=f"no token {token_id} of yours"):
        revoke_token(session, token_id, by=make_actor(session, "ada", "admin"))
