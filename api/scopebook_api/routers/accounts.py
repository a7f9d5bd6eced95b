"""Accounts: an admin's list of them, and what one changes of one's own."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from scopebook import account_changes, logins
from scopebook.accounts import AccountView, list_accounts, view_of
from scopebook.credentials import digest
from scopebook.settings import settings
from scopebook_api.account_schemas import (
    AccountChange,
    AccountMade,
    AccountRead,
    LinkRead,
    LoginRead,
    NewAccount,
    PasswordChange,
)
from scopebook_api.authentication import cookie_name, give_cookie, let_in, take_cookie
from scopebook_api.deps import Admin, DbSession, InPerson, kept_nowhere
from scopebook_api.schemas import Page, problems

router = APIRouter(
    tags=["accounts"],
    dependencies=[Depends(kept_nowhere)],
    responses=problems(404, 409),
)


@router.get("/accounts", response_model=Page[AccountRead])
def browse(session: DbSession, _: Admin) -> dict[str, object]:
    """List all accounts by name."""
    return {"items": list_accounts(session), "next": None}


@router.post("/accounts", response_model=AccountMade, status_code=201)
def add(request: Request, session: DbSession, me: Admin, wanted: NewAccount) -> dict[str, object]:
    """Make an account, and the link by which its person sets a password.

    The first account must be an admin: from then on everybody logs in.
    """
    account = account_changes.add_account_by_page(session, wanted.name, wanted.role, by=me)
    secret = account_changes.make_link(session, account.name, by=me)
    return {"account": view_of(account), "link": _link(request, account.name, secret)}


@router.patch("/accounts/{name}", response_model=AccountRead)
def change(session: DbSession, me: Admin, name: str, wanted: AccountChange) -> AccountView:
    """Change an account's role, shut it out or let it in again."""
    account = account_changes.find_person(session, name)
    if wanted.disabled is False:
        account_changes.enable_account(session, name, by=me)
    if wanted.role is not None:
        account_changes.change_role(session, name, wanted.role, by=me)
    if wanted.disabled is True:
        account_changes.disable_account(session, name, by=me)
    return view_of(account)


@router.post("/accounts/{name}/link", response_model=LinkRead, status_code=201)
def make_link(request: Request, session: DbSession, me: Admin, name: str) -> dict[str, str]:
    """Make a link that sets the account's password once, within a day; earlier ones are void."""
    account = account_changes.find_person(session, name)
    return _link(request, account.name, account_changes.make_link(session, name, by=me))


@router.put("/me/password", status_code=204)
def change_password(
    request: Request, response: Response, session: DbSession, me: InPerson, wanted: PasswordChange
) -> None:
    """Change one's own password; every other browser is logged out."""
    request.app.state.limits.count_try(request, me.name)
    account = account_changes.change_password(
        session, wanted.old.get_secret_value(), wanted.new.get_secret_value(), by=me
    )
    secret = let_in(request, session, account)
    give_cookie(request, response, secret)


@router.get("/me/sessions", response_model=Page[LoginRead])
def browse_logins(request: Request, session: DbSession, me: InPerson) -> dict[str, object]:
    """List the browsers that one is logged in with: this one, then the others, used last first."""
    secret = request.cookies.get(cookie_name(request), "")
    return {"items": logins.list_logins(session, me.account_id, secret), "next": None}


@router.delete("/me/sessions/{login_id}", status_code=204)
def end_login(
    request: Request,
    response: Response,
    session: DbSession,
    me: InPerson,
    login_id: Annotated[int, Path(ge=1, lt=2**63)],
) -> None:
    """Log one browser of one's own out."""
    ended = logins.end_login(session, me, login_id)
    if ended == digest(request.cookies.get(cookie_name(request), "")):
        take_cookie(request, response)


@router.delete("/me/sessions", status_code=204)
def log_out_everywhere(
    request: Request, response: Response, session: DbSession, me: InPerson
) -> None:
    """Log oneself out in every browser, this one too."""
    account_changes.end_sessions(session, account_changes.find_person(session, me.name))
    take_cookie(request, response)


def _link(request: Request, account: str, secret: str) -> dict[str, str]:
    base = settings().public_url or str(request.base_url)
    return {"account": account, "url": account_changes.link_url(base, secret)}
