"""What a route may ask for: a session, who acts, the query embedder, the size of a page.

What neither reads nor waits is `async`, since each plain function would be handed to a thread.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from sqlalchemy.orm import Session

from scopebook.accounts import Actor, Role
from scopebook.audit import record
from scopebook.db.sessions import unit_of_work
from scopebook.errors import ForbiddenError, UnauthenticatedError
from scopebook.log_fields import note_field
from scopebook.quotas import ask_as
from scopebook.search import EmbedQuery
from scopebook.visibility import hidden_from, leave_out
from scopebook_api import idempotency
from scopebook_api.authentication import SAFE_METHODS, authenticate, stranger

#: Of every route's path.
PREFIX = "/api"


async def request_session(request: Request) -> AsyncIterator[Session]:
    """One request is one unit of work.

    It waits here for a connection, and not on a thread: threads that all wait for connections
    would leave none to the requests that hold one, and nobody would ever go on.
    """
    async with (
        request.app.state.slots,
        contextmanager_in_threadpool(unit_of_work(request.app.state.sessions)) as session,
    ):
        yield session


async def query_embedder(request: Request) -> EmbedQuery:
    """Return the function that embeds queries, loaded once per process."""
    embed: EmbedQuery = request.app.state.embed
    return embed


# scope="function": commit before the answer leaves, so that a 200 is never a lie.
DbSession = Annotated[Session, Depends(request_session, scope="function")]


def asking(request: Request, session: DbSession) -> Actor | None:
    """Return who asks, or None for a stranger.

    Looked up over a connection of its own, which is given back at once: a request that held one
    while it waits for another, as for the embedder of queries, might wait for ever.
    """
    with unit_of_work(request.app.state.sessions) as looking:
        actor = authenticate(request, looking)
        hidden = None if actor is None else hidden_from(looking, actor)
    if actor is not None:
        note_field("account", actor.account_id)
        request.app.state.limits.count_request(actor)
    leave_out(session, hidden)
    return actor


AnyoneAsking = Annotated[Actor | None, Depends(asking, scope="function")]


async def acting(request: Request, actor: AnyoneAsking) -> Actor:
    """Return who acts; refuse a stranger."""
    if actor is None:
        raise await run_in_threadpool(_refusal, request)
    return actor


def _refusal(request: Request) -> UnauthenticatedError:
    with unit_of_work(request.app.state.sessions) as session:
        return stranger(request, session)


Me = Annotated[Actor, Depends(acting, scope="function")]


def asking_again(request: Request) -> Callable[[], Actor | None]:
    """Return a function that tells who asks by now, for answers that go on for long."""

    def ask_again() -> Actor | None:
        with unit_of_work(request.app.state.sessions) as looking:
            try:
                return authenticate(request, looking)
            except UnauthenticatedError:
                return None

    return ask_again


async def body_of(request: Request) -> bytes:
    """Return the request's body, which the framework has read already if the route takes one."""
    return await request.body()


Body = Annotated[bytes, Depends(body_of)]


def at_least(role: Role) -> Callable[[Request, Session, Actor, bytes], Actor]:
    """Return a dependency that refuses who has a lower role, and logs what the others change.

    A request that was done under the same `Idempotency-Key` ends here, with the answer it got.
    """

    def guard(request: Request, session: DbSession, me: Me, body: Body) -> Actor:
        me.require(role)
        idempotency.begin_request(request, session, me, body)
        ask_as(session, me.account_id)
        route = request.scope["route"]
        # Routes of accounts say it in words of their own.
        if request.method not in SAFE_METHODS and "accounts" not in route.tags:
            record(session, me, f"{request.method} {PREFIX}{route.path}", request.url.path)
        return me

    return guard


async def in_person(me: Me) -> Actor:
    """Refuse a token, which must not make another one or change the password."""
    if me.via == "token":
        raise ForbiddenError(
            "A token cannot do this; log in, or take the command line of the machine."
        )
    return me


AskAgain = Annotated[Callable[[], Actor | None], Depends(asking_again)]


async def kept_nowhere(request: Request, response: Response) -> None:
    """Forbid browsers and proxies to keep an answer, which is for one person and may be secret.

    Scopebook itself does not keep it either, so who wants it kept by a key is refused.
    """
    response.headers["Cache-Control"] = "no-store"
    if request.method == "POST" and idempotency.HEADER in request.headers:
        raise idempotency.refusal()


Viewer = Annotated[Actor, Depends(at_least("viewer"), scope="function")]
Annotator = Annotated[Actor, Depends(at_least("annotator"), scope="function")]
Editor = Annotated[Actor, Depends(at_least("editor"), scope="function")]
Admin = Annotated[Actor, Depends(at_least("admin"), scope="function")]
InPerson = Annotated[Actor, Depends(in_person, scope="function")]
Embed = Annotated[EmbedQuery, Depends(query_embedder)]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
