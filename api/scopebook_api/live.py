"""News from the database to open pages: one listening connection for each API process.

Pages hold no connection of the pool. Each waits for an event of its topic, and then reads what is
there: news only say "look", so one that is lost on the way costs nothing after a reconnect.
"""

import asyncio
import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.feature_writes import CHANNEL

Result = TypeVar("Result")

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
#: Streams that read from the database at the same time; the others wait their turn.
STREAMS_AT_ONCE: Final = 4
QUEUE: Final = "queue"


class Live:
    """Listens while anybody watches."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._watchers: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: When it was looked at, after how many news, and what was found.
        self._shared: dict[str, tuple[float, int, Any]] = {}
        self._told: Counter[str] = Counter()
        self._reading = asyncio.Semaphore(STREAMS_AT_ONCE)

    async def read(self, look: Callable[[Session], Result]) -> Result:
        """Return what a look at the database finds, in a unit of work of its own."""
        async with self._reading:
            return await run_in_threadpool(self._look, look)

    async def read_shared(
        self, topic: str, look: Callable[[Session], Result], fresh_s: float
    ) -> tuple[Result, bool]:
        """Return what one look found for all within `fresh_s`, and whether it is still so."""
        async with self._locks[topic]:
            known = self._shared.get(topic)
            if known is None or time.monotonic() - known[0] > fresh_s:
                told = self._told[topic]
                known = (time.monotonic(), told, await self.read(look))
                self._shared[topic] = known
            _, told, found = known
            return found, told == self._told[topic]

    def _look(self, look: Callable[[Session], Result]) -> Result:
        with unit_of_work(self._sessions) as session:
            return look(session)

    @asynccontextmanager
    async def watch(self, topic: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever there may be news of the topic."""
        news = asyncio.Event()
        self._watchers[topic].add(news)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen())
        try:
            yield news
        finally:
            self._watchers[topic].discard(news)
            if not self._watchers[topic]:
                del self._watchers[topic]
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _listen(self) -> None:
        while True:
            try:
                await self._follow()
            except psycopg.Error as error:
                log.warning("Live news are interrupted, trying again: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        bind: Any = self._sessions.kw["bind"]
        url = bind.url.set(drivername="postgresql").render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            # What happened before anybody listened.
            for watchers in self._watchers.values():
                _wake(watchers)
            async for notice in connection.notifies():
                self._pass_on(notice.payload)

    def _pass_on(self, payload: str) -> None:
        with suppress(ValueError):
            topic = _topic(json.loads(payload))
            if topic == QUEUE:
                # Of features nobody asks, and there are many.
                self._told[topic] += 1
            _wake(self._watchers.get(topic, ()))


def _wake(watchers: Any) -> None:
    for news in watchers:
        news.set()


def _topic(news: dict[str, Any]) -> str:
    if "inference" in news:
        return inference_topic(news["inference"])
    return QUEUE if "queue" in news else feature_topic(news["feature"])


def inference_topic(inference_id: int) -> str:
    """Return the topic of a request that somebody waits for."""
    return f"inference:{inference_id}"


def feature_topic(feature_id: int) -> str:
    """Return the topic of a feature."""
    return f"feature:{feature_id}"
