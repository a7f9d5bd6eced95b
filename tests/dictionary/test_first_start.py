"""Who may come in when an instance starts."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, text, update
from sqlalchemy.orm import Session

from people import PASSWORD, make_account
from running import SCOPEBOOK, environment
from scopebook.account_changes import account_of_link, disable_account, use_link
from scopebook.accounts import find_account, has_accounts, local_actor
from scopebook.db.account_tables import OneTimeLink
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedded.programs import is_loopback
from scopebook.errors import ConflictError
from scopebook.first_start import open_the_door
from scopebook.logins import log_in
from scopebook.settings import Settings


def link_in(said: str) -> str:
    return said.partition("/welcome#")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_one_person_on_one_machine_needs_no_account(session: Session, host: str) -> None:
    said = open_the_door(session, Settings(host=host))

    assert said.startswith("Single user, no password")
    assert not has_accounts(session)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "box.example"])
def test_an_address_for_others_is_refused_without_an_account(session: Session, host: str) -> None:
    with pytest.raises(ConflictError) as refusal:
        open_the_door(session, Settings(host=host))

    assert "scopebook user add NAME --role admin" in str(refusal.value)
    assert "--first-admin NAME" in str(refusal.value)
    make_account(session, "ada", "admin")
    assert "People log in" in open_the_door(session, Settings(host=host))


def test_the_first_admin_gets_a_link_that_is_good_once(session: Session) -> None:
    chosen = Settings(host="0.0.0.0", first_admin="ada", public_url="https://scopebook.example")

    said = open_the_door(session, chosen)

    assert "https://scopebook.example/welcome#" in said
    use_link(session, link_in(said), PASSWORD, address=None)
    assert log_in(session, "ada", PASSWORD, address=None) is not None
    assert find_account(session, "ada").role == "admin"
    assert open_the_door(session, chosen) == "People log in at https://scopebook.example/login."


def test_a_next_start_leaves_the_link_good_that_the_first_admin_was_given(session: Session) -> None:
    chosen = Settings(first_admin="ada")
    first = link_in(open_the_door(session, chosen))

    said = open_the_door(session, chosen)

    assert said == (
        "The admin ada exists, and the link that an earlier start has printed sets the password; "
        "`scopebook user password ada` prints another in its place."
    )
    use_link(session, first, PASSWORD, address=None)


def test_a_first_admin_whose_link_has_expired_gets_another_at_the_next_start(
    session: Session,
) -> None:
    chosen = Settings(first_admin="ada")
    first = link_in(open_the_door(session, chosen))
    session.execute(update(OneTimeLink).values(expires_at=func.now()))

    second = link_in(open_the_door(session, chosen))

    assert second not in ("", first)
    assert session.scalar(text("SELECT count(*) FROM account WHERE name <> 'local'")) == 1


def test_of_two_starts_at_once_one_prints_a_link_and_it_is_good(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with empty_database(postgres) as url:
        both = [start_migrating(tmp_path / name, url) for name in ("one", "two")]
        said = [process.communicate(timeout=600)[1] for process in both]

        assert [process.returncode for process in both] == [0, 0], said
        links = [found for one in said for found in re.findall(r"/welcome#(\S+)", one)]
        assert len(links) == 1, said
        assert sum("The admin ada exists, and the link" in one for one in said) == 1
        engine = create_engine(url)
        with Session(engine) as session:
            assert account_of_link(session, links[0]).name == "ada"
        engine.dispose()


def start_migrating(data_dir: Path, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SCOPEBOOK, "migrate", "--first-admin", "ada"],
        env=environment(data_dir, SCOPEBOOK_DATABASE_URL=url),
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    engine = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE first_start"))
        try:
            yield postgres.url("first_start")
        finally:
            connection.execute(text("DROP DATABASE first_start WITH (FORCE)"))
    engine.dispose()


def test_the_name_of_a_first_admin_opens_nothing_once_there_is_an_account(session: Session) -> None:
    make_account(session, "ada", "admin")
    make_account(session, "ben", "viewer")
    make_account(session, "gone", "admin")
    disable_account(session, "gone", by=local_actor(session))

    for name in ("ben", "gone", "new"):
        assert "People log in" in open_the_door(session, Settings(first_admin=name))


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example", "", "testclient", "1"])
def test_only_this_machine_is_this_machine(host: str) -> None:
    assert not is_loopback(host)
