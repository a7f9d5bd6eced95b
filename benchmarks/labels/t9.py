"""T9, speed and cost: labels a second from a server that takes 50 ms, 64 at once, and the bill.

The bill for a release is told before the first call; a server that counts with a real tokenizer
tells what it would have been.
"""

import asyncio
import time
from typing import Final

from benchmarks.labels.cost import BOUND, byte_pairs, told_and_counted, wordpiece
from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.stubs.asking import ask_all, label_requests, say_number
from benchmarks.labels.stubs.faults import StubServer

from scopebook_workers.llm.server import ServerChat

_REQUESTS: Final = 3_000
_PARALLEL: Final = 64
_DELAY_S: Final = 0.05
#: Features of which the bill is counted; that of a release is as much more.
_BILLED: Final = 256


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


def bill_gates(size: float) -> list[Gate]:
    """Hold the told cost of 32,768 features against what two tokenizers count."""
    features = max(32, round(_BILLED * size))
    by_guess = told_and_counted(features, wordpiece())
    after_trial = told_and_counted(features, byte_pairs(), after_trial=True)
    figures = {
        "tokens told, off by (WordPiece)": by_guess.off,
        "dollars told, off by (WordPiece)": by_guess.off_in_dollars,
        "tokens told after a trial, off by (8k BPE)": after_trial.off,
        "dollars told after a trial, off by (8k BPE)": after_trial.off_in_dollars,
    }
    return [
        Gate(name=name, value=abs(off), bound=BOUND, at_least=False)
        for name, off in figures.items()
    ]


def run(*, size: float = 1.0) -> TierResult:
    """Return the tier's figures; `size` below 1 asks less."""
    began = time.monotonic()
    rate = answers_per_second(max(_PARALLEL, round(_REQUESTS * size)))
    return TierResult(
        tier="T9",
        title="speed and cost",
        gates=(Gate(name="answers/s", value=rate, bound=150.0), *bill_gates(size)),
        seconds=time.monotonic() - began,
        notes=(f"{_PARALLEL} at once, {_DELAY_S * 1000:.0f} ms each",),
    )
