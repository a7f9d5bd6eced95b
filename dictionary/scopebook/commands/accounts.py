"""`scopebook user`, `audit`, `visibility`: who may do what; they act as the machine's operator."""

import sys
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy.orm import Session

from scopebook.account_changes import (
    add_account,
    adopt_author,
    change_role,
    checked_role,
    disable_account,
    enable_account,
    find_person,
    link_url,
    make_link,
    set_password,
)
from scopebook.accounts import AccountView, list_accounts, local_actor, view_of
from scopebook.audit import list_audit
from scopebook.console import dictionary, err, out, print_json, print_table, table
from scopebook.db.sessions import unit_of_work
from scopebook.embedded.folder import DataFolder
from scopebook.embedded.programs import page_url
from scopebook.settings import settings
from scopebook.visibility import read_visibility, set_visibility

users = typer.Typer(help="Accounts: who may log in, and as what.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="The account's name; capitals make no difference.")]
RoleName = Annotated[str, typer.Option("--role", help="viewer, annotator, editor or admin.")]
Prompt = Annotated[bool, typer.Option("--prompt", help="Ask for the password here.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@users.command()
def add(
    name: Name,
    role: RoleName = "annotator",
    prompt: Prompt = False,
    password_stdin: FromStdin = False,
    imported: Annotated[
        str | None,
        typer.Option(help="Whose words came in with a dump under this name: they are its own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an account, and print the link by which its person sets a password.

    From the first account on, everybody logs in.
    """
    checked_role(role)
    given = _password(prompt, password_stdin)
    with dictionary() as factory, unit_of_work(factory) as session:
        operator = local_actor(session)
        account = (
            add_account(session, name, role, by=operator)
            if imported is None
            else adopt_author(session, imported, name, role, by=operator)
        )
        url = _let_in(session, account.name, given)
        view = view_of(account)
    _tell(view, url, as_json)


@users.command()
def password(
    name: Name, prompt: Prompt = False, password_stdin: FromStdin = False, as_json: AsJson = False
) -> None:
    """Print a link that sets an account's password anew, or set it here."""
    given = _password(prompt, password_stdin)
    with dictionary() as factory, unit_of_work(factory) as session:
        account = find_person(session, name)
        url = _let_in(session, account.name, given)
        view = view_of(account)
    _tell(view, url, as_json)


@users.command()
def role(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, annotator, editor or admin.")],
    as_json: AsJson = False,
) -> None:
    """Give an account another role."""
    with dictionary() as factory, unit_of_work(factory) as session:
        view = view_of(change_role(session, name, new, by=local_actor(session)))
    _tell(view, None, as_json)


@users.command()
def disable(name: Name, as_json: AsJson = False) -> None:
    """Shut an account out at once; what its person said stays."""
    with dictionary() as factory, unit_of_work(factory) as session:
        view = view_of(disable_account(session, name, by=local_actor(session)))
    _tell(view, None, as_json)


@users.command()
def enable(name: Name, as_json: AsJson = False) -> None:
    """Let an account in again."""
    with dictionary() as factory, unit_of_work(factory) as session:
        view = view_of(enable_account(session, name, by=local_actor(session)))
    _tell(view, None, as_json)


@users.command("list")
def browse(as_json: AsJson = False) -> None:
    """List all accounts."""
    with dictionary() as factory, unit_of_work(factory) as session:
        views = list_accounts(session)
    if as_json:
        print_json({"items": views, "next": None})
        return
    listed = table("account", "role", "state", "last seen", whole=("account", "role"))
    for view in views:
        seen = f"{view.last_seen_at:%Y-%m-%d %H:%M}" if view.last_seen_at else "never"
        listed.add_row(escape(view.name), view.role, _state(view), seen)
    print_table(listed)


def _password(prompt: bool, from_stdin: bool) -> str | None:
    """Return a password that is given here; None: its person sets it by a link."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if prompt:
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return None


def _let_in(session: Session, name: str, given: str | None) -> str | None:
    """Set the password, or return the link that does."""
    operator = local_actor(session)
    if given is not None:
        set_password(session, find_person(session, name), given, by=operator, how="command line")
        return None
    running = DataFolder(settings().data_dir).running()
    here = running.api_url if running else None
    base = settings().public_url or here or page_url(settings())
    return link_url(base, make_link(session, name, by=operator))


def _state(view: AccountView) -> str:
    if view.disabled_at is not None:
        return "disabled"
    return "can log in" if view.has_password else "has no password yet"


def _tell(view: AccountView, url: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"account": view, "link": url})
        return
    err.print(f"{view.name}: {view.role}, {_state(view)}.", markup=False, highlight=False)
    if url is not None:
        err.print("This link sets the password once, within a day:", highlight=False)
        out.print(url, markup=False, highlight=False, soft_wrap=True)


def audit(
    account: Annotated[str | None, typer.Option(help="Only what this account did.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many entries.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List who changed what, when and from where, newest first."""
    with dictionary() as factory, unit_of_work(factory) as session:
        entries, following = list_audit(session, account=account, limit=limit)
    if as_json:
        print_json({"items": entries, "next": following})
        return
    listed = table("when", "who", "what", "of what", "from", whole=("when", "who"))
    for entry in entries:
        listed.add_row(
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            escape(entry.account),
            escape(entry.action),
            escape(entry.target),
            entry.address or "this machine",
        )
    print_table(listed)


def visibility(
    release: Annotated[str, typer.Argument(help="A registered release.")],
    to_role: Annotated[
        str | None, typer.Option("--role", help="Keep it for this role and those above it.")
    ] = None,
    to_account: Annotated[
        list[str] | None, typer.Option("--account", help="And for this account; again for more.")
    ] = None,
    to_all: Annotated[bool, typer.Option("--all", help="Let everybody see it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say who sees a release, or keep it for some; for others it is not there. Admins see all."""
    role, people = checked_role(to_role) if to_role else None, to_account or []
    with dictionary() as factory, unit_of_work(factory) as session:
        if role or people or to_all:
            operator = local_actor(session)
            view = set_visibility(session, release, role=role, accounts=people, by=operator)
        else:
            view = read_visibility(session, release)
    if as_json:
        print_json(view)
        return
    some = [f"the role {view.role} and above"] if view.role else []
    some += view.accounts
    err.print(f"{release} is for {', '.join(some) or 'all'}.", markup=False, highlight=False)
