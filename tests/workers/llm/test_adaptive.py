"""The limiter finds what a server takes; no test looks at a clock."""

import asyncio
from collections.abc import Callable, Coroutine

from scopebook_workers.llm.adaptive import Limiter


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 5))


def test_answers_raise_the_limit_to_what_is_allowed_and_no_further() -> None:
    async def test() -> None:
        limiter = Limiter(parallel=10, first=8)
        for expected in (9, 10, 10):
            async with limiter.slot() as slot:
                slot.answered()
            assert limiter.limit == expected

    run(test)


def test_overloads_of_one_window_halve_once() -> None:
    async def test() -> None:
        limiter = Limiter(parallel=64, first=16)
        async with limiter.slot() as first, limiter.slot() as second:
            first.overloaded()
            second.overloaded()
        assert limiter.limit == 8
        async with limiter.slot() as later:
            later.overloaded()
        assert limiter.limit == 4

    run(test)


def test_after_an_overload_one_is_added_for_a_round_of_answers() -> None:
    async def test() -> None:
        limiter = Limiter(parallel=64, first=8)
        async with limiter.slot() as slot:
            slot.overloaded()
        limits = []
        for _ in range(10):
            async with limiter.slot() as slot:
                slot.answered()
            limits.append(limiter.limit)
        # 4 + 1/4 + 1/4.25 + ..: five answers for the fifth place, five more for the sixth.
        assert limits == [4, 4, 4, 4, 5, 5, 5, 5, 5, 6]

    run(test)


def test_one_request_may_always_run() -> None:
    async def test() -> None:
        limiter = Limiter(parallel=4, first=1)
        for _ in range(5):
            async with limiter.slot() as slot:
                slot.overloaded()
        assert limiter.limit == 1

    run(test)


def test_never_more_than_the_limit_run_and_all_get_their_turn() -> None:
    async def test() -> None:
        limiter = Limiter(parallel=3, first=3)
        most, done = 0, 0

        async def work() -> None:
            nonlocal most, done
            async with limiter.slot():
                most = max(most, limiter.running)
                await asyncio.sleep(0)
                done += 1

        await asyncio.gather(*(work() for _ in range(50)))
        assert (most, done, limiter.running) == (3, 50, 0)

    run(test)


def test_a_pause_holds_everyone_and_a_longer_one_wins() -> None:
    async def test() -> None:
        clock = Clock()
        limiter = Limiter(clock=clock, sleep=clock.sleep)
        limiter.pause(30)
        limiter.pause(5)
        async with limiter.slot():
            assert clock.now == 30

    run(test)


def test_who_gives_up_waiting_takes_no_turn_along() -> None:
    async def test() -> None:
        limiter = Limiter(parallel=1, first=1)
        began = asyncio.Event()

        async def hold() -> None:
            async with limiter.slot():
                began.set()
                await asyncio.sleep(0.01)

        async def enter() -> str:
            async with limiter.slot():
                return "in"

        holding = asyncio.create_task(hold())
        await began.wait()
        leaving, staying = asyncio.create_task(enter()), asyncio.create_task(enter())
        await asyncio.sleep(0)
        await holding
        # The turn was passed to the first in the row, which is cancelled before it takes it.
        leaving.cancel()
        assert await staying == "in"

    run(test)
