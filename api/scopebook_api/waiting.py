"""Answers that wait for a model: one JSON document at the end, or events on the way.

Whoever waits holds no connection to the database and no thread. Whoever leaves cancels what they
have asked for.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import anyio
from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from scopebook import inferences
from scopebook.accounts import Actor
from scopebook.errors import ScopebookError
from scopebook.inferences import InferenceView
from scopebook.visibility import hidden_from, leave_out
from scopebook_api.errors import status_of
from scopebook_api.inspect_schemas import InferenceRead
from scopebook_api.live import Live, inference_topic
from scopebook_api.schemas import Problem

#: A place in the queue changes without news.
_LOOK_S: Final = 1.0
_EVENTS: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

#: Reads what is to be answered, once the model has.
View = Callable[[Session], BaseModel]


@dataclass(frozen=True)
class Waiting:
    """A request that somebody waits for."""

    live: Live
    me: Actor
    id: int
    view: View
    #: How progress is told.
    progress: type[BaseModel] = InferenceRead

    async def states(self) -> AsyncGenerator[InferenceView]:
        """Yield how far it is whenever that may have changed; raise what went wrong."""
        async with self.live.watch(inference_topic(self.id)) as news:
            while True:
                news.clear()
                state = await self.live.read(self._look)
                inferences.raise_failure(state)
                yield state
                if state.state == "done":
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _LOOK_S)

    def _look(self, session: Session) -> InferenceView:
        return inferences.read_inference(session, self.id, account_id=self.me.account_id)

    async def answer(self) -> BaseModel:
        """Return the answer to one that is done."""
        return await self.live.read(self._view)

    def _view(self, session: Session) -> BaseModel:
        leave_out(session, hidden_from(session, self.me))
        return self.view(session)

    async def cancel(self) -> None:
        """End it: nobody waits any more. One that is over stays what it is."""
        with anyio.CancelScope(shield=True):
            account_id = self.me.account_id
            await self.live.read(
                partial(inferences.cancel, inference_id=self.id, account_id=account_id)
            )


def waiting_answer(
    request: Request,
    me: Actor,
    inference_id: int,
    view: View,
    *,
    progress: type[BaseModel] = InferenceRead,
) -> Response:
    """Return the answer in the form that is asked for by `Accept`."""
    waiting = Waiting(request.app.state.live, me, inference_id, view, progress)
    if _EVENTS in request.headers.get("accept", ""):
        return StreamingResponse(_events(waiting), media_type=_EVENTS, headers=_HEADERS)
    return _AtItsEnd(waiting)


def answer_at_its_end(request: Request, me: Actor, inference_id: int, view: View) -> Response:
    """Return the answer as JSON, whatever `Accept` says."""
    return _AtItsEnd(Waiting(request.app.state.live, me, inference_id, view))


def answer_in_frames(
    request: Request,
    me: Actor,
    inference_id: int,
    view: View,
    so_far: Callable[[InferenceView], BaseModel],
) -> Response:
    """Return server-sent events without names: the answer as it is by then, at last the whole."""
    waiting = Waiting(request.app.state.live, me, inference_id, view)
    return StreamingResponse(_frames(waiting, so_far), media_type=_EVENTS, headers=_HEADERS)


class _AtItsEnd(Response):
    """The answer as one JSON document, begun when it is there."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__()
        self._waiting = waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: list[BaseModel | Exception] = []
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                # Kept, and raised outside: a group of tasks would wrap it.
                try:
                    async with aclosing(self._waiting.states()) as states:
                        async for _ in states:
                            pass
                    found.append(await self._waiting.answer())
                except Exception as error:
                    found.append(error)
                tasks.cancel_scope.cancel()

            tasks.start_soon(wait)
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()
        if not found:
            await self._waiting.cancel()
            return
        [outcome] = found
        if isinstance(outcome, Exception):
            raise outcome
        answer = JSONResponse(
            outcome.model_dump(mode="json", by_alias=True), headers={"Cache-Control": "no-store"}
        )
        await answer(scope, receive, send)


async def _events(waiting: Waiting) -> AsyncIterator[str]:
    """Yield `progress` whenever something has changed, then `answer` or `problem`.

    Once in any case: it says under which number the answer is kept, to be looked at another way.
    """
    over = False
    sent = ""
    try:
        async with aclosing(waiting.states()) as states:
            async for state in states:
                data = waiting.progress.model_validate(state).model_dump_json()
                if not sent or state.state != "done" or state.written:
                    yield ": still here\n\n" if data == sent else _event("progress", data)
                sent = data
        answer = (await waiting.answer()).model_dump_json()
        over = True
        yield _event("answer", answer)
    except ScopebookError as error:
        over = True
        yield _event("problem", _problem(error).model_dump_json())
    finally:
        if not over:
            await waiting.cancel()


async def _frames(
    waiting: Waiting, so_far: Callable[[InferenceView], BaseModel]
) -> AsyncIterator[str]:
    """Yield what is written whenever that is more, then the answer, or why there is none."""
    over = False
    written: Sequence[Any] = ()
    try:
        async with aclosing(waiting.states()) as states:
            async for state in states:
                if state.state != "done" and state.written and state.written != written:
                    written = state.written
                    yield _frame(so_far(state))
        answer = _frame(await waiting.answer())
        over = True
        yield answer
    except ScopebookError as error:
        over = True
        yield f"data: {json.dumps({'message': str(error)})}\n\n"
    finally:
        if not over:
            await waiting.cancel()


def _frame(told: BaseModel) -> str:
    return f"data: {told.model_dump_json(by_alias=True)}\n\n"


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


def _problem(error: ScopebookError) -> Problem:
    status = status_of(error)
    return Problem(title=status.phrase, status=status.value, detail=str(error))


#: How a route documents that its answer may also come as events.
EVENTS_TOO: Final[dict[str, Any]] = {"content": {_EVENTS: {"schema": {"type": "string"}}}}


def waiting_responses(read: Any) -> dict[int | str, dict[str, Any]]:
    """Return how a route of this kind documents its answers."""
    return {
        200: {
            "model": read,
            "description": "The answer; with `Accept: text/event-stream` server-sent events: "
            "`progress` (how far it is), then `answer` or `problem`.",
        }
    }
