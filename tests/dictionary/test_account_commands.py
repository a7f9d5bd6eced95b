"""`scopebook user`, `token`, `audit`, `visibility` as they are called in a terminal."""

import io
import json
import sys
from typing import Any, NamedTuple

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from makers import make_release
from people import PASSWORD
from scopebook import cli
from scopebook.account_changes import account_of_link
from scopebook.accounts import find_account
from scopebook.imported_authors import author_id
from scopebook.logins import log_in
from scopebook.settings import Settings
from scopebook.tokens import actor_of_token


class Done(NamedTuple):
    """What a command has printed, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


class Terminal:
    """Runs commands over one database, in this process: starting one takes longer than its work."""

    def __init__(
        self, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._url, self._monkeypatch, self._capsys = url, monkeypatch, capsys

    def run(self, *arguments: str, typed: str = "") -> Done:
        chosen = Settings(database_url=self._url, public_url="https://scopebook.example")
        with self._monkeypatch.context() as changed:
            changed.setattr("scopebook.settings._Current.settings", chosen)
            changed.setattr(sys, "argv", ["scopebook", *arguments])
            changed.setattr(sys, "stdin", io.StringIO(typed))
            with pytest.raises(SystemExit) as end:
                cli.main()
        code = end.value.code
        return Done(code if isinstance(code, int) else 0, *self._capsys.readouterr())

    def json(self, *arguments: str, typed: str = "") -> Any:
        done = self.run(*arguments, "--json", typed=typed)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def session(self) -> Session:
        return Session(create_engine(self._url))


@pytest.fixture
def terminal(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """A terminal of whoever runs the machine."""
    return Terminal(database_url, monkeypatch, capsys)


def test_an_account_is_made_with_a_link_and_listed(terminal: Terminal) -> None:
    done = terminal.run("user", "add", "ada", "--role", "admin")

    assert done.returncode == 0, done.stderr
    url = done.stdout.strip()
    assert url.startswith("https://scopebook.example/welcome#")
    with terminal.session() as session:
        assert account_of_link(session, url.partition("#")[2]).name == "ada"
    assert "has no password yet" in terminal.run("user", "list").stdout


def test_an_imported_author_becomes_an_account(terminal: Terminal) -> None:
    with terminal.session() as session, session.begin():
        author = author_id(session, "Ada Lovelace")

    done = terminal.run("user", "add", "ada", "--imported", "Ada Lovelace")

    assert done.returncode == 0, done.stderr
    with terminal.session() as session:
        assert find_account(session, "ada").id == author


def test_a_password_comes_from_standard_input_and_is_told_nowhere(terminal: Terminal) -> None:
    done = terminal.run("user", "add", "ada", "--password-stdin", typed=f"{PASSWORD}\n")

    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    with terminal.session() as session:
        assert log_in(session, "ada", PASSWORD, address=None) is not None


def test_roles_change_and_accounts_are_shut_out_and_let_in(terminal: Terminal) -> None:
    terminal.run("user", "add", "ada", "--role", "admin")
    terminal.run("user", "add", "ben", "--role", "viewer")

    assert terminal.json("user", "role", "ben", "editor")["account"]["role"] == "editor"
    assert terminal.json("user", "disable", "ben")["account"]["disabled_at"] is not None
    assert terminal.json("user", "enable", "ben")["account"]["disabled_at"] is None
    names = [item["name"] for item in terminal.json("user", "list")["items"]]
    assert names == ["ada", "ben"]
    actions = [entry["action"] for entry in terminal.json("audit")["items"]]
    assert actions[:3] == ["enabled an account", "disabled an account", "changed a role"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "add", "ada", "--role", "king"), "'king' is no role"),
        (("user", "add", "a b"), "cannot be the name of an account"),
        (("user", "role", "nobody", "admin"), "There is no account 'nobody'"),
        (("user", "disable", "local"), "whoever sits at this machine"),
        (("token", "create", "ci", "--scope", "all"), "'all' is no scope"),
        (("token", "create", "ci", "--account", "nobody"), "There is no account 'nobody'"),
        (("token", "revoke", "7"), "There is no token 7"),
        (("visibility", "nothing"), "There is no release 'nothing'"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    terminal: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    done = terminal.run(*arguments)

    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr


def test_a_token_is_printed_once_alone_on_its_line(terminal: Terminal) -> None:
    done = terminal.run("token", "create", "nightly", "--scope", "edit", "--days", "7")

    assert done.returncode == 0, done.stderr
    secret = done.stdout.strip()
    with terminal.session() as session:
        known = actor_of_token(session, secret, address=None)
    assert known is not None
    assert (known.actor.name, known.actor.role) == ("local", "editor")
    (listed,) = terminal.json("token", "list")["items"]
    assert (listed["name"], listed["scope"]) == ("nightly", "edit")
    assert secret not in terminal.run("token", "list").stdout
    assert terminal.json("token", "revoke", str(listed["id"]))["revoked_at"] is not None


def test_a_token_may_be_for_ever(terminal: Terminal) -> None:
    made = terminal.json("token", "create", "ci", "--days", "0")

    assert made["token"]["expires_at"] is None
    assert made["secret"].startswith("sb_")


def test_a_release_is_kept_for_some_and_let_go_again(terminal: Terminal) -> None:
    with terminal.session() as session, session.begin():
        make_release(session, "SAE-Res-Kept")
    terminal.run("user", "add", "ben")

    kept = terminal.json(*("visibility", "SAE-Res-Kept", "--role", "editor", "--account", "ben"))
    assert kept == {"role": "editor", "accounts": ["ben"]}
    told = terminal.run("visibility", "SAE-Res-Kept").stderr
    assert told == "SAE-Res-Kept is for the role editor and above, ben.\n"
    terminal.run("visibility", "SAE-Res-Kept", "--all")
    assert terminal.json("visibility", "SAE-Res-Kept") == {"role": None, "accounts": []}
