"""Server-sent events: a feature that others change or look at, and the queue."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from scopebook.accounts import Actor
from scopebook.feature_writes import version_of
from scopebook.presence import end_presence, present_at, show_presence
from scopebook.review_queue import queue_state
from scopebook.visibility import hidden_from, leave_out
from scopebook_api.deps import AskAgain, Me
from scopebook_api.feature_deps import FeatureKey
from scopebook_api.live import QUEUE, Live, feature_topic
from scopebook_api.review_schemas import LiveRead, QueueRead
from scopebook_api.schemas import problems
from scopebook_api.streams import EVENTS

router = APIRouter(tags=["live"], responses=problems(404))

#: Seconds without news after which a page's presence is told again, and its line is kept open.
QUIET_S: Final = 10.0
#: The queue's numbers change with every verdict of anybody; pages are told so often at most.
PAUSE_S: Final = 1.0
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_STILL_HERE: Final = ": still here\n\n"


@router.get(
    "/features/{model:path}/{source}/{index}/live",
    response_class=StreamingResponse,
    responses=EVENTS,
)
async def watch_feature(
    request: Request,
    me: Me,
    again: AskAgain,
    feature: FeatureKey,
    viewer: Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[\w-]+$")],
) -> StreamingResponse:
    """Stream the feature's version and who looks at it; the stream itself makes one present.

    `viewer` is any word that tells one open page from another.
    """
    events = _feature_events(request, me, again, feature, viewer)
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


@router.get("/queue/live", response_class=StreamingResponse, responses=EVENTS)
async def watch_queue(request: Request, me: Me, again: AskAgain) -> StreamingResponse:
    """Stream how much there is to review, and in whose hand."""
    events = _queue_events(request, me, again)
    return StreamingResponse(events, media_type="text/event-stream", headers=_HEADERS)


async def _feature_events(
    request: Request, me: Actor | None, again: AskAgain, feature_id: int, viewer: str
) -> AsyncIterator[str]:
    assert me is not None
    live: Live = request.app.state.live
    # An account's name before it: nobody ends another one's presence.
    viewer = f"{me.account_id}:{viewer}"
    sent = ""
    try:
        async with live.watch(feature_topic(feature_id)) as news:
            while me is not None:
                news.clear()
                data = await live.read(partial(_seen, me, feature_id, viewer))
                yield _STILL_HERE if data == sent else f"event: feature\ndata: {data}\n\n"
                sent = data
                await _wait(news)
                # An account may be shut out meanwhile.
                me = await run_in_threadpool(again)
    finally:
        with anyio.CancelScope(shield=True):
            await live.read(lambda session: end_presence(session, feature_id, viewer))


def _seen(me: Actor, feature_id: int, viewer: str, session: Session) -> str:
    show_presence(session, feature_id, viewer, me.account_id)
    return LiveRead(
        version=version_of(session, feature_id), present=present_at(session, feature_id)
    ).model_dump_json()


async def _queue_events(request: Request, me: Actor | None, again: AskAgain) -> AsyncIterator[str]:
    live: Live = request.app.state.live
    sent = ""
    async with live.watch(QUEUE) as news:
        while me is not None:
            news.clear()
            own = await live.read(partial(_own_queue, me))
            data, current = (own, True) if own else await live.read_shared(QUEUE, _queue, PAUSE_S)
            if not current:
                news.set()
            yield _STILL_HERE if data == sent else f"event: queue\ndata: {data}\n\n"
            sent = data
            await asyncio.sleep(PAUSE_S)
            await _wait(news)
            me = await run_in_threadpool(again)


def _own_queue(me: Actor, session: Session) -> str | None:
    """Return the numbers for one from whom releases are hidden; None: those for all."""
    hidden = hidden_from(session, me)
    if hidden is None:
        return None
    leave_out(session, hidden)
    return _queue(session)


def _queue(session: Session) -> str:
    return QueueRead.model_validate(queue_state(session)).model_dump_json()


async def _wait(news: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), QUIET_S)
