"""T9, the way to the server: answers a second from a server that takes 50 ms, 64 at once."""

import asyncio
import time
from typing import Final

from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.stubs.asking import ask_all, label_requests, say_number
from benchmarks.labels.stubs.faults import StubServer

from scopebook_workers.llm.server import ServerChat

_REQUESTS: Final = 3_000
_PARALLEL: Final = 64
_DELAY_S: Final = 0.05


def answers_per_second(requests: int) -> float:
    """Return how many answers a second the client alone gets; the server is another process."""
    with StubServer(say_number, delay_s=_DELAY_S, own_process=True) as server:
        return asyncio.run(_measure(server.url, requests))


async def _measure(url: str, requests: int) -> float:
    async with ServerChat(url, model="stub", parallel=_PARALLEL) as chat:
        wanted = label_requests(requests)
        began = time.perf_counter()
        await ask_all(chat, wanted)
        return requests / (time.perf_counter() - began)


def run(*, size: float = 1.0) -> TierResult:
    """Return the tier's figures; `size` below 1 asks less."""
    began = time.monotonic()
    rate = answers_per_second(max(_PARALLEL, round(_REQUESTS * size)))
    return TierResult(
        tier="T9",
        title="speed of the client",
        gates=(Gate(name="answers/s", value=rate, bound=150.0),),
        seconds=time.monotonic() - began,
        notes=(f"{_PARALLEL} at once, {_DELAY_S * 1000:.0f} ms each",),
    )
