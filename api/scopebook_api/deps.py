"""What a route may ask for: a session, who acts, the query embedder, the size of a page."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy.orm import Session

from scopebook.accounts import Actor, Role, local_actor
from scopebook.db.sessions import unit_of_work
from scopebook.search import EmbedQuery


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


def query_embedder(request: Request) -> EmbedQuery:
    """Return the function that embeds queries, loaded once per process."""
    embed: EmbedQuery = request.app.state.embed
    return embed


# scope="function": commit before the answer leaves, so that a 200 is never a lie.
DbSession = Annotated[Session, Depends(request_session, scope="function")]


def acting(session: DbSession) -> Actor:
    """Return who acts."""
    return local_actor(session)


Me = Annotated[Actor, Depends(acting)]


def at_least(role: Role) -> Callable[[Actor], Actor]:
    """Return a dependency that refuses who has a lower role."""

    def guard(me: Me) -> Actor:
        me.require(role)
        return me

    return guard


Annotator = Annotated[Actor, Depends(at_least("annotator"))]
Editor = Annotated[Actor, Depends(at_least("editor"))]
Admin = Annotated[Actor, Depends(at_least("admin"))]
Embed = Annotated[EmbedQuery, Depends(query_embedder)]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
