"""Log in, log out, and who one is."""

from fastapi import APIRouter, Depends, Request, Response

from scopebook import account_changes, logins
from scopebook.accounts import Actor, actor_of, has_accounts
from scopebook.db.sessions import unit_of_work
from scopebook.errors import UnauthenticatedError
from scopebook_api.account_schemas import LinkSecret, LinkUse, LoginRequest, WhoAmI
from scopebook_api.authentication import (
    address_of,
    cookie_name,
    give_cookie,
    let_in,
    refuse_other_sites,
    take_cookie,
)
from scopebook_api.deps import AnyoneAsking, DbSession, kept_nowhere

public = APIRouter(
    tags=["accounts"], dependencies=[Depends(refuse_other_sites), Depends(kept_nowhere)]
)


@public.get("/session", response_model=WhoAmI)
def who_am_i(
    request: Request, response: Response, session: DbSession, me: AnyoneAsking
) -> dict[str, object]:
    """Say who asks, and how one may log in."""
    secret = request.cookies.get(cookie_name(request))
    if me is not None and me.via == "login" and secret is not None:
        give_cookie(request, response, secret)  # so that it lasts as long as the login does
    return _answer(request, me, accounts=has_accounts(session))


@public.post("/session", response_model=WhoAmI)
def log_in(request: Request, response: Response, wanted: LoginRequest) -> dict[str, object]:
    """Log in by a name and a password; the answer sets a cookie."""
    request.app.state.limits.count_try(request, wanted.name)
    # A transaction of its own: a failed try stands in the log though the request is refused.
    with unit_of_work(request.app.state.sessions) as session:
        account = logins.log_in(
            session, wanted.name, wanted.password.get_secret_value(), address=address_of(request)
        )
        if account is not None:
            secret = let_in(request, session, account)
    if account is None:
        raise UnauthenticatedError("The name or the password is not right.")
    give_cookie(request, response, secret)
    return _answer(request, actor_of(account, "login"))


@public.delete("/session", status_code=204)
def log_out(request: Request, response: Response, session: DbSession, me: AnyoneAsking) -> None:
    """Log this browser out; it is no error if it is not logged in."""
    secret = request.cookies.get(cookie_name(request))
    if me is not None and secret is not None:
        logins.log_out(session, secret)
    take_cookie(request, response)


@public.post("/links/look")
def look_at_link(request: Request, session: DbSession, wanted: LinkSecret) -> dict[str, str]:
    """Say whose password a one-time link sets."""
    request.app.state.limits.count_try(request)
    return {"account": account_changes.account_of_link(session, wanted.secret).name}


@public.post("/links/use", response_model=WhoAmI)
def use_link(
    request: Request, response: Response, session: DbSession, wanted: LinkUse
) -> dict[str, object]:
    """Set the password that a one-time link is for, and log in."""
    request.app.state.limits.count_try(request)
    account = account_changes.use_link(
        session, wanted.secret, wanted.password.get_secret_value(), address=address_of(request)
    )
    secret = let_in(request, session, account)
    give_cookie(request, response, secret)
    return _answer(request, actor_of(account, "login"))


def _answer(request: Request, me: Actor | None, *, accounts: bool = True) -> dict[str, object]:
    provider = request.app.state.provider
    return {"me": me, "accounts": accounts, "provider": provider.name if provider else None}
