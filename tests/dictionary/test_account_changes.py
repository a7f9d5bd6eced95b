"""Accounts are made, changed and shut out; the log says by whom."""

import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from people import PASSWORD, make_account, make_actor
from scopebook.account_changes import (
    account_of_link,
    add_account,
    add_account_by_page,
    adopt_author,
    change_password,
    change_role,
    disable_account,
    enable_account,
    make_link,
    set_password,
    use_link,
)
from scopebook.accounts import has_accounts, list_accounts, local_actor
from scopebook.audit import list_audit
from scopebook.db.account_tables import LoginSession, OneTimeLink
from scopebook.db.sessions import Sessions
from scopebook.errors import ConflictError, InvalidInputError, ScopebookError, UnauthenticatedError
from scopebook.imported_authors import author_id
from scopebook.logins import log_in, start_session


def actions(session: Session) -> list[tuple[str, str, str]]:
    session.flush()
    return [(entry.account, entry.action, entry.target) for entry in list_audit(session)[0]][::-1]


@pytest.mark.parametrize("name", ["ada", "Ada_L.2", "张伟", "ü", "x" * 40])
def test_people_can_be_called_by_their_names(session: Session, name: str) -> None:
    assert add_account(session, f" {name} ", "viewer", by=local_actor(session)).name == name


@pytest.mark.parametrize("name", ["", " ", "a b", ".a", "a-", "a@b", "a/b", "x" * 41, "a\0"])
def test_what_cannot_be_mentioned_is_no_name(session: Session, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be the name of an account"):
        add_account(session, name, "viewer", by=local_actor(session))


@pytest.mark.parametrize("name", ["ADA", "local", "Local"])
def test_a_name_is_given_once(session: Session, name: str) -> None:
    make_account(session, "ada")

    with pytest.raises(ConflictError, match="There is an account"):
        add_account(session, name, "viewer", by=local_actor(session))


def test_an_imported_author_can_become_the_account_of_its_person(session: Session) -> None:
    author = author_id(session, "local")

    ada = adopt_author(session, "local", "ada", "editor", by=local_actor(session))

    assert (ada.id, ada.name, ada.role) == (author, "ada", "editor")
    assert [one.name for one in list_accounts(session)] == ["ada"]
    assert make_link(session, "ada", by=local_actor(session))
    assert actions(session)[0] == ("local", "gave an imported author an account", "ada")
    assert author_id(session, "local") != author


@pytest.mark.parametrize(
    ("author", "name", "said"),
    [("cy", "cy", "no imported author 'cy'; there are ben"), ("ben", "ada", "account 'ada'")],
)
def test_only_an_author_who_is_there_becomes_an_account_of_a_free_name(
    session: Session, author: str, name: str, said: str
) -> None:
    make_account(session, "ada")
    author_id(session, "ben")

    with pytest.raises(ScopebookError, match=said):
        adopt_author(session, author, name, "viewer", by=local_actor(session))


def test_the_first_account_that_a_page_makes_is_an_admin(session: Session) -> None:
    operator = local_actor(session)
    with pytest.raises(ConflictError, match="first account must be an admin"):
        add_account_by_page(session, "ada", "viewer", by=operator)

    add_account_by_page(session, "ada", "admin", by=operator)
    add_account_by_page(session, "ben", "viewer", by=operator)

    assert has_accounts(session)


def test_the_last_admin_stays_one(session: Session) -> None:
    ada = make_actor(session, "ada", "admin")
    for change in (disable_account, lambda s, n, by: change_role(s, n, "editor", by=by)):
        with pytest.raises(ConflictError, match="ada is the only admin"):
            change(session, "ada", by=ada)

    make_account(session, "ben", "admin")
    disable_account(session, "ada", by=ada)

    with pytest.raises(ConflictError, match="ben is the only admin"):
        change_role(session, "ben", "viewer", by=ada)


def test_two_admins_who_disable_each_other_at_once_leave_one(sessions: Sessions) -> None:
    with sessions.begin() as session:
        actors = [make_actor(session, name, "admin") for name in ("ada", "ben")]
    begin, refused = threading.Barrier(2), []

    def disable_the_other(number: int) -> None:
        begin.wait()
        try:
            with sessions.begin() as session:
                disable_account(session, actors[1 - number].name, by=actors[number])
        except ScopebookError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=disable_the_other, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    with sessions() as session:
        left = text("SELECT count(*) FROM account WHERE disabled_at IS NULL AND name <> 'local'")
        assert session.scalar(left) == 1


def test_local_is_no_account_to_change(session: Session) -> None:
    operator = local_actor(session)

    for change in (disable_account, make_link):
        with pytest.raises(ConflictError, match="whoever sits at this machine"):
            change(session, "local", by=operator)


def test_a_link_sets_a_password_once(session: Session) -> None:
    make_account(session, "ada")
    secret = make_link(session, "ada", by=local_actor(session))
    assert account_of_link(session, secret).name == "ada"

    use_link(session, secret, PASSWORD, address=None)

    account = log_in(session, "ADA", PASSWORD, address=None)
    assert account is not None
    with pytest.raises(UnauthenticatedError, match="no longer good"):
        use_link(session, secret, "another long password", address=None)
    assert log_in(session, "ada", "another long password", address=None) is None


def test_a_newer_link_voids_the_one_before(session: Session) -> None:
    make_account(session, "ada")
    operator = local_actor(session)
    first, second = (make_link(session, "ada", by=operator) for _ in range(2))

    with pytest.raises(UnauthenticatedError):
        use_link(session, first, PASSWORD, address=None)
    use_link(session, second, PASSWORD, address=None)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE one_time_link SET expires_at = now()",
        "UPDATE account SET disabled_at = now()",
    ],
    ids=["too late", "shut out"],
)
def test_a_link_is_good_for_a_day_and_for_who_may_come_in(session: Session, spoil: str) -> None:
    make_account(session, "ada")
    secret = make_link(session, "ada", by=local_actor(session))
    hours = text("SELECT extract(epoch FROM expires_at - created_at) / 3600 FROM one_time_link")
    assert session.scalar(hours) == 24
    session.execute(text(spoil))

    with pytest.raises(UnauthenticatedError, match="no longer good"):
        use_link(session, secret, PASSWORD, address=None)


def test_two_who_use_a_link_at_once_set_one_password(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_account(session, "ada")
        secret = make_link(session, "ada", by=local_actor(session))
    begin, done = threading.Barrier(2), []

    def use(password: str) -> None:
        begin.wait()
        try:
            with sessions.begin() as session:
                use_link(session, secret, password, address=None)
            done.append(password)
        except UnauthenticatedError:
            pass

    threads = [threading.Thread(target=use, args=(f"{PASSWORD} {i}",)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (password,) = done
    with sessions.begin() as session:
        assert log_in(session, "ada", password, address=None) is not None


def test_a_new_password_logs_out_everywhere(session: Session) -> None:
    account = make_account(session, "ada")
    start_session(session, account, days=1)
    session.flush()

    set_password(session, account, PASSWORD, by=local_actor(session), how="test")

    assert session.scalars(select(LoginSession)).all() == []


def test_ones_own_password_takes_the_old_one(session: Session) -> None:
    ada = make_actor(session, "ada")
    secret = make_link(session, "ada", by=local_actor(session))
    use_link(session, secret, PASSWORD, address=None)

    with pytest.raises(InvalidInputError, match="present password is not right"):
        change_password(session, "not this one", "a new long password", by=ada)
    change_password(session, PASSWORD, "a new long password", by=ada)

    assert log_in(session, "ada", "a new long password", address=None) is not None


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaa", "ABBACADABBA", "x" * 1001])
def test_a_password_that_is_easily_guessed_is_refused(session: Session, password: str) -> None:
    account = make_account(session, "Abbacadabba")

    with pytest.raises(InvalidInputError) as refusal:
        set_password(session, account, password, by=local_actor(session), how="test")

    assert password not in str(refusal.value)
    assert account.password_hash is None


def test_no_secret_is_kept_as_it_is(session: Session) -> None:
    account = make_account(session, "ada")
    link = make_link(session, "ada", by=local_actor(session))
    login = start_session(session, account, days=1)
    session.flush()

    assert session.scalars(select(OneTimeLink.sha256)).one() != link.encode()
    use_link(session, link, PASSWORD, address=None)
    session.flush()
    kept = " ".join(
        str(row)
        for table in ("account", "login_session", "one_time_link", "audit_entry")
        for row in session.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t"))
    )
    assert "$argon2id$" in kept
    assert not any(secret in kept for secret in (link, login, PASSWORD))


def test_the_log_tells_who_changed_what_from_where(session: Session) -> None:
    ada = make_actor(session, "ada", "admin")
    make_account(session, "ben")

    change_role(session, "ben", "editor", by=ada)
    change_role(session, "ben", "editor", by=ada)
    disable_account(session, "ben", by=ada)
    enable_account(session, "ben", by=ada)

    assert actions(session) == [
        ("local", "made an account", "ada"),
        ("local", "made an account", "ben"),
        ("ada", "changed a role", "ben"),
        ("ada", "disabled an account", "ben"),
        ("ada", "enabled an account", "ben"),
    ]
    entries, following = list_audit(session, account="ada", limit=2)
    assert [entry.address for entry in entries] == ["192.0.2.7"] * 2
    (entry,), last = list_audit(session, account="ada", limit=2, cursor=following)
    assert entry.details == {"before": "viewer", "after": "editor"}
    assert last is None
