"""T9, speed and cost: labels a second from a server that takes 50 ms, 64 at once, and the bill.

Labels are made as the step makes them: examples read from PostgreSQL, prompts built, answers read
and written. How many answers the client alone gets is told beside it.
The bill for a release is told before the first call; a server that counts with a real tokenizer
tells what it would have been.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.labels.cost import BOUND, byte_pairs, told_and_counted, told_by_server, wordpiece
from benchmarks.labels.planted_dictionary import (
    ask_for_words,
    outcomes_by_feature,
    plant_features,
    say_keywords,
    throwaway_database,
)
from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.stubs.asking import ask_all, label_requests, say_number
from benchmarks.labels.stubs.faults import StubServer

from scopebook.db.sessions import sessions, unit_of_work
from scopebook.jobs import WORD_SAE
from scopebook_workers.claims import work_off
from scopebook_workers.llm.server import ServerChat
from scopebook_workers.tasks import word  # noqa: F401 - its imports are not the labels' time

_REQUESTS: Final = 3_000
_FEATURES: Final = 3_000
_PARALLEL: Final = 64
_DELAY_S: Final = 0.05
#: Features of which the bill is counted; that of a release is as much more.
_BILLED: Final = 256


@dataclass(frozen=True)
class Speed:
    """How fast features were worded, and whether each was, once."""

    labels_per_second: float
    cpu_ms: float
    once: float


def label_speed(features: int) -> Speed:
    """Word planted features through the step, in this process; the others have their own."""
    with throwaway_database():
        with unit_of_work(sessions()) as session:
            sae, run = plant_features(session, features)
        with StubServer(say_keywords, delay_s=_DELAY_S, own_process=True) as server:
            with unit_of_work(sessions()) as session:
                ask_for_words(session, sae, run, server.url, parallel=_PARALLEL)
            began, cpu = time.perf_counter(), time.process_time()
            work_off(WORD_SAE)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
        ended = outcomes_by_feature(sessions())
    once = sum(times == 1 for times in ended.values()) / features
    return Speed(features / took, 1000 * cpu / features, once)


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
    by_server = told_by_server(features, byte_pairs())
    figures = {
        "tokens told, off by (WordPiece)": by_guess.off,
        "dollars told, off by (WordPiece)": by_guess.off_in_dollars,
        "tokens told by a server that counts, off by (8k BPE)": by_server.off,
        "dollars told by a server that counts, off by (8k BPE)": by_server.off_in_dollars,
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
    speed = label_speed(max(2 * _PARALLEL, round(_FEATURES * size)))
    rate = answers_per_second(max(_PARALLEL, round(_REQUESTS * size)))
    return TierResult(
        tier="T9",
        title="speed and cost",
        gates=(
            Gate(name="labels/s, database included", value=speed.labels_per_second, bound=150.0),
            Gate(name="features with one outcome", value=speed.once, bound=1.0),
            Gate(name="answers/s", value=rate, bound=150.0),
            *bill_gates(size),
        ),
        seconds=time.monotonic() - began,
        notes=(
            f"{_PARALLEL} at once, {_DELAY_S * 1000:.0f} ms each",
            f"{speed.cpu_ms:.1f} ms of CPU a label in the worker",
        ),
    )
