"""Who asks: by a token, by a login, or by sitting at the machine where nobody has an account."""

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response
from sqlalchemy.orm import Session

from scopebook.accounts import Actor, actor_without_accounts, has_accounts
from scopebook.db.account_tables import Account
from scopebook.embedded.programs import is_loopback
from scopebook.errors import ForbiddenError, UnauthenticatedError
from scopebook.logins import actor_of_session, note_seen, prolong, start_session
from scopebook.settings import settings
from scopebook.tokens import actor_of_token, note_use

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: No other site's page can send it without being allowed to first, which nobody is.
OWN_HEADER: Final = "x-scopebook"
#: What a proxy adds: who comes through one does not sit at this machine.
FORWARDING: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def authenticate(request: Request, session: Session) -> Actor | None:
    """Return who asks, or None for a stranger; a token that is not good is refused."""
    if (token := _token_of(request)) is not None:
        return _by_token(request, session, token)
    if (secret := request.cookies.get(cookie_name(request))) is not None:
        actor = _by_login(request, session, secret)
        if actor is not None:
            return actor
    if not sits_at_the_machine(request) or (me := actor_without_accounts(session)) is None:
        return None
    refuse_other_sites(request)
    return replace(me, address=address_of(request))


def stranger(request: Request, session: Session) -> UnauthenticatedError:
    """Return the refusal of somebody unknown, with what lets them in."""
    if has_accounts(session):
        return UnauthenticatedError(
            "This takes a login: log in at /login, or send a token as `Authorization: Bearer ...`."
        )
    return UnauthenticatedError(
        "This instance has no accounts yet, so only who sits at its machine may come in; make one "
        "there by `scopebook user add NAME --role admin`."
    )


def address_of(request: Request) -> str | None:
    """Return the address that the request came from, as far as the server knows."""
    return request.client.host if request.client else None


def _token_of(request: Request) -> str | None:
    """Return the token that a request shows; scripts written for Neuronpedia send `x-api-key`."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key")


def _by_token(request: Request, session: Session, token: str) -> Actor:
    known = actor_of_token(session, token, address=address_of(request))
    if known is None:
        raise UnauthenticatedError(
            "The token is unknown, expired or revoked; make another by `scopebook token create "
            "NAME` or on the page of your account."
        )
    if known.unseen:
        note_use(session, known.token_id)
        note_seen(session, known.actor.account_id)
    return known.actor


def _by_login(request: Request, session: Session, secret: str) -> Actor | None:
    known = actor_of_session(session, secret, address=address_of(request))
    if known is None:
        return None
    if request.method not in SAFE_METHODS:
        refuse_other_sites(request)
        if OWN_HEADER not in request.headers:
            raise ForbiddenError(
                "A change by a browser that is logged in takes the header `X-Scopebook: 1`, which "
                "no other site can send; scripts use a token instead."
            )
    if known.unseen:
        address = address_of(request)
        prolong(session, secret, days=settings().session_days, address=address)
        note_seen(session, known.actor.account_id)
    return known.actor


def refuse_other_sites(request: Request) -> None:
    """Refuse a change that a page of another site asks for in the name of this browser's user."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    foreign = (
        site not in ("same-origin", "none")
        if site is not None
        else origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    )
    if foreign:
        raise ForbiddenError("Pages of other sites may not change anything here.")


def sits_at_the_machine(request: Request) -> bool:
    """Tell whether a request comes from this machine, through no proxy, by one of its own names.

    The name counts, since a foreign one may be made to lead here to get at what is on this machine.
    """
    return (
        is_loopback(settings().host)
        and is_loopback(address_of(request) or "")
        and is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")
        and not any(name in request.headers for name in FORWARDING)
    )


def cookie_name(request: Request) -> str:
    """Return the cookie of this instance: browsers share those of a host among its ports."""
    return f"scopebook_{request.url.port}" if request.url.port else "scopebook"


def let_in(request: Request, session: Session, account: Account) -> str:
    """Log a browser in; return the secret that its cookie keeps."""
    return start_session(
        session,
        account,
        days=settings().session_days,
        address=address_of(request),
        agent=request.headers.get("user-agent"),
    )


def give_cookie(request: Request, response: Response, secret: str) -> None:
    """Let the browser keep a login that its scripts cannot read."""
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=settings().session_days * 24 * 3600,
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


def take_cookie(request: Request, response: Response) -> None:
    """Let the browser forget its login."""
    response.delete_cookie(
        cookie_name(request), httponly=True, samesite="lax", secure=is_https(request)
    )


def is_https(request: Request) -> bool:
    """Tell whether the browser came over https, as far as the server or the settings know."""
    return request.url.scheme == "https" or (settings().public_url or "").startswith("https:")
