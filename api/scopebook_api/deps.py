"""What a route may ask for: a session, the query embedder, the size of a page."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Query, Request
from sqlalchemy.orm import Session

from scopebook.db.sessions import unit_of_work
from scopebook.search import EmbedQuery


def request_session(request: Request) -> Iterator[Session]:
    """One request is one unit of work."""
    with unit_of_work(request.app.state.sessions) as session:
        yield session


def query_embedder(request: Request) -> EmbedQuery:
    """Return the function that embeds queries, loaded once per process."""
    embed: EmbedQuery = request.app.state.embed
    return embed


# scope="function": commit before the answer leaves, so that a 200 is never a lie.
DbSession = Annotated[Session, Depends(request_session, scope="function")]
Embed = Annotated[EmbedQuery, Depends(query_embedder)]
Limit = Annotated[int, Query(ge=1, le=200, description="Items on a page.")]
Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
