"""Log in by an OpenID provider; a browser goes there and comes back."""

import logging
import re
import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse

from scopebook.db.sessions import unit_of_work
from scopebook.errors import NotFoundError, ScopebookError, UnauthenticatedError
from scopebook.provided_accounts import account_of_person
from scopebook.settings import settings
from scopebook_api.authentication import address_of, give_cookie, is_https, let_in
from scopebook_api.provider import CALLBACK, Provider, Visit, new_visit
from scopebook_api.schemas import problems

log = logging.getLogger(__name__)

public = APIRouter(
    prefix="/provider",
    tags=["accounts"],
    responses=problems(404, 503),
)

_VISIT = "scopebook_visit"
_VISIT_S = 600
#: An address of this app: one slash, and neither another nor a backslash.
_OWN_PAGE = re.compile(r"/(?![/\\])[^\x00-\x20]*")

Answer = Annotated[str | None, Query(max_length=4000)]


@public.get("", response_class=RedirectResponse, status_code=303)
def go(request: Request, following: Annotated[str, Query(alias="next")] = "/") -> RedirectResponse:
    """Send the browser to the provider."""
    visit = new_visit(following if _OWN_PAGE.fullmatch(following) else "/")
    answer = RedirectResponse(_provider(request).send_off(visit, _redirect_uri(request)), 303)
    answer.set_cookie(
        _VISIT,
        visit.pack(),
        max_age=_VISIT_S,
        path="/api/provider",
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )
    return answer


@public.get("/callback", response_class=RedirectResponse, status_code=303)
def come_back(
    request: Request, code: Answer = None, state: Answer = None, error: Answer = None
) -> RedirectResponse:
    """Log in whom the provider vouches for; anybody else is shown the page of logins again."""
    request.app.state.limits.count_try(request)
    visit = Visit.unpack(request.cookies.get(_VISIT))
    try:
        answer = _let_in(request, visit, code, state, error)
    except ScopebookError as refusal:
        log.warning("A login by the provider was refused: %s", refusal)
        answer = RedirectResponse("/login?refused=provider", 303)
    answer.delete_cookie(_VISIT, path="/api/provider")
    return answer


def _let_in(
    request: Request, visit: Visit | None, code: str | None, state: str | None, error: str | None
) -> RedirectResponse:
    if visit is None or state is None or not secrets.compare_digest(visit.state, state):
        raise UnauthenticatedError("This browser did not ask for that login, or too long ago.")
    if code is None:
        raise UnauthenticatedError(f"The provider sent no code: {error!r}.")
    provider = _provider(request)
    claims = provider.redeem(code, visit, _redirect_uri(request))
    with unit_of_work(request.app.state.sessions) as session:
        account = account_of_person(
            session,
            provider.issuer,
            claims,
            new_role=settings().oidc_new_role,
            address=address_of(request),
        )
        secret = let_in(request, session, account)
    answer = RedirectResponse(visit.next, 303)
    give_cookie(request, answer, secret)
    return answer


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise NotFoundError(
            "No provider is set; SCOPEBOOK_OIDC_ISSUER and SCOPEBOOK_OIDC_CLIENT_ID name one."
        )
    return provider


def _redirect_uri(request: Request) -> str:
    return (settings().public_url or str(request.base_url)).rstrip("/") + CALLBACK
