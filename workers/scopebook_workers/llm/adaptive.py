"""Find out how many requests a server takes at once: more while it answers, half when it chokes."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

_FIRST: Final = 8


class Slot:
    """The place of one request under way."""

    def __init__(self, limiter: "Limiter", window: int) -> None:
        self._limiter = limiter
        self._window = window

    def answered(self) -> None:
        """Say that the server kept up."""
        self._limiter.raise_limit()

    def overloaded(self) -> None:
        """Say that the server did not keep up: 429, 503 or no answer in time."""
        self._limiter.halve(self._window)


class Limiter:
    """Additive increase, multiplicative decrease, up to `parallel` at once.

    Until the first overload every answer adds one, so that a fast server is used at once; after
    it, one is added for each round of answers. A window ends with its halving: what was sent
    before the last halving says nothing new and halves nothing.
    """

    def __init__(
        self,
        *,
        parallel: int = 64,
        first: int = _FIRST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._most = max(1, parallel)
        self._limit = float(min(max(1, first), self._most))
        self._clock, self._sleep = clock, sleep
        self._window = 0
        self._running = 0
        self._paused_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may run at once now."""
        return int(self._limit)

    @property
    def running(self) -> int:
        """How many run now."""
        return self._running

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a place and hold it inside the block."""
        await self._enter()
        try:
            yield Slot(self, self._window)
        finally:
            self._running -= 1
            self._wake()

    def pause(self, seconds: float) -> None:
        """Let nobody begin for so long, e.g. since the server said when to come back."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def raise_limit(self) -> None:
        """Take one answer as a sign that more is possible."""
        step = 1.0 if self._window == 0 else 1.0 / self._limit
        self._limit = min(self._limit + step, float(self._most))
        self._wake()

    def halve(self, window: int) -> None:
        """Halve, unless `window`, in which the request began, is over."""
        if window == self._window:
            self._limit = max(self._limit / 2, 1.0)
            self._window += 1

    async def _enter(self) -> None:
        while True:
            if (left := self._paused_until - self._clock()) > 0:
                await self._sleep(left)
            elif self._running < self.limit:
                self._running += 1
                return
            else:
                await self._turn()

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # Whoever leaves with a turn passes it on; else it would be lost.
            if turn.done() and not turn.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        free = self.limit - self._running
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1
