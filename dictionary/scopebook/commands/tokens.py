"""`scopebook token`: what scripts show instead of a login."""

from typing import Annotated

import typer
from rich.markup import escape

from scopebook.accounts import LOCAL, local_actor
from scopebook.console import dictionary, err, out, print_json, print_table, table
from scopebook.db.sessions import unit_of_work
from scopebook.tokens import TokenView, create_token, list_tokens, revoke_token

tokens = typer.Typer(help="Tokens of the API, for scripts.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for, e.g. nightly-export.")],
    account: Annotated[
        str, typer.Option(help="Whose it is; if unset, it belongs to the machine's operator.")
    ] = LOCAL,
    scope: Annotated[str, typer.Option(help="read, annotate, edit or admin.")] = "read",
    days: Annotated[int, typer.Option(min=0, help="How long it is good; 0: for ever.")] = 90,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, this once; send it as `Authorization: Bearer TOKEN`."""
    with dictionary() as factory, unit_of_work(factory) as session:
        operator = local_actor(session)
        token, secret = create_token(
            session, name, owner=account, scope=scope, days=days or None, by=operator
        )
    if as_json:
        print_json({"token": token, "secret": secret})
        return
    err.print(f"Token {token.id}: {_said(token)}.", markup=False, highlight=False)
    out.print(secret, markup=False, highlight=False, soft_wrap=True)


@tokens.command("list")
def browse(
    account: Annotated[str | None, typer.Option(help="Only tokens of this account.")] = None,
    as_json: AsJson = False,
) -> None:
    """List tokens, the newest first; their secrets are not kept."""
    with dictionary() as factory, unit_of_work(factory) as session:
        views = list_tokens(session, owner=account)
    if as_json:
        print_json({"items": views, "next": None})
        return
    listed = table("token", "name", "account", "begins with", "may", "last used", whole=("token",))
    for view in views:
        used = f"{view.last_used_at:%Y-%m-%d %H:%M}" if view.last_used_at else "never"
        row = (escape(view.name), escape(view.account), view.hint, _said(view), used)
        listed.add_row(str(view.id), *row)
    print_table(listed)


@tokens.command()
def revoke(
    token_id: Annotated[int, typer.Argument(help="Its number, which `token list` shows.")],
    as_json: AsJson = False,
) -> None:
    """Make a token worthless at once."""
    with dictionary() as factory, unit_of_work(factory) as session:
        token = revoke_token(session, token_id, by=local_actor(session))
    if as_json:
        print_json(token)
        return
    err.print(f"Token {token.id} ({token.name}) is revoked.", markup=False, highlight=False)


def _said(token: TokenView) -> str:
    if token.revoked_at is not None:
        return "revoked"
    until = f"{token.expires_at:%Y-%m-%d}" if token.expires_at else "for ever"
    return f"{token.scope}, {until if token.expires_at is None else f'until {until}'}"
