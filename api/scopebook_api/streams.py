"""Answers of any length: a bounded number at once, each let go with its reader."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

import anyio
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Send

from scopebook.db.sessions import Sessions, unit_of_work

#: Each holds a connection until its reader has all.
LONG_ANSWERS_AT_ONCE: Final = 2
#: A reader that takes nothing for so long is let go: its connection is for others.
PATIENCE_S: Final = 60.0


class LongAnswer(StreamingResponse):
    """A stream that does not wait for a reader who has stopped reading."""

    def __init__(self, parts: AsyncGenerator[bytes], status_code: int = 200) -> None:
        # A proxy must not wait for its end either.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(parts, status_code, headers)
        self._parts = parts

    async def stream_response(self, send: Send) -> None:
        """Send what there is; a reader who takes nothing, or leaves, ends it."""

        async def send_soon(message: Message) -> None:
            with anyio.fail_after(PATIENCE_S):
                await send(message)

        try:
            await super().stream_response(send_soon)
        finally:
            # At once, and not when somebody collects garbage: it holds a connection.
            with anyio.CancelScope(shield=True):
                await self._parts.aclose()


class JsonLines(LongAnswer):
    """One JSON object a line."""

    media_type = "application/x-ndjson"


async def from_one_session(
    slots: asyncio.Semaphore, sessions: Sessions, read: Callable[[Session], Iterator[bytes]]
) -> AsyncGenerator[bytes]:
    """Yield what is read in one unit of work, which ends with the reader wherever they leave."""
    async with slots, contextmanager_in_threadpool(unit_of_work(sessions)) as session:
        parts = read(session)
        while (part := await run_in_threadpool(next, parts, None)) is not None:
            yield part
