"""T7, faults: whatever a server does, every request ends once; and so does every feature.

The second part words features through the database, and kills the worker in the middle.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from benchmarks.labels.killed import word_with_a_kill
from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.stubs.asking import ask_all, label_requests, say_number
from benchmarks.labels.stubs.faults import Counts, StubServer
from benchmarks.labels.stubs.plan import MIXED, Faults

from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError
from scopebook_workers.llm.retries import Retries
from scopebook_workers.llm.server import ServerChat
from scopebook_workers.tasks.word import BATCH

_REQUESTS: Final = 400
#: Features that are worded with a kill; more than two batches.
_FEATURES: Final = 640
#: Of the requests that fail, a quarter never gets an answer.
_LASTING: Final = 0.25
_QUICK: Final = Retries(base_s=0.02, longest_s=0.1)
_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True)
class Asked:
    """How a number of requests to a failing server ended, and what the server saw."""

    ended: dict[str, ChatAnswer | ChatFailedError]
    counts: Counts


def ask_through_faults(requests: int) -> Asked:
    """Ask a server that fails in all ways it knows but those that end everything."""
    with StubServer(say_number, faults=Faults(shares=MIXED, lasting=_LASTING)) as server:
        ended = asyncio.run(_ask(server.url, requests))
        return Asked(ended, server.counts())


async def _ask(url: str, requests: int) -> dict[str, ChatAnswer | ChatFailedError]:
    chat = ServerChat(url, model="stub", timeout_s=_TIMEOUT_S, retries=_QUICK)
    async with chat:
        return await ask_all(chat, label_requests(requests))


def kill_gates(features: int) -> list[Gate]:
    """Hold what stands after the kill against one outcome for each feature."""
    killed = word_with_a_kill(features)
    return [
        Gate(name="outcomes lost by a kill", value=killed.lost, bound=0, at_least=False),
        Gate(name="outcomes doubled by a kill", value=killed.doubled, bound=0, at_least=False),
        Gate(name="asked twice by a kill", value=killed.asked_twice, bound=BATCH, at_least=False),
        Gate(name="job done after a kill", value=float(killed.state == "done"), bound=1.0),
        Gate(
            name="features left at the kill",
            value=features - killed.standing_at_kill,
            bound=1.0,
        ),
    ]


def run(*, size: float = 1.0) -> TierResult:
    """Return the tier's figures; `size` below 1 asks less."""
    began = time.monotonic()
    count = max(1, round(_REQUESTS * size))
    asked = ask_through_faults(count)
    failed = [end for end in asked.ended.values() if isinstance(end, ChatFailedError)]
    foreign = sum(
        isinstance(end, ChatAnswer) and not _is_own(key, end) for key, end in asked.ended.items()
    )
    classes = Counter(end.error_class for end in failed)
    return TierResult(
        tier="T7",
        title="faults of the server, and a kill of the worker",
        gates=(
            Gate(name="requests that ended", value=len(asked.ended) / count, bound=1.0),
            Gate(
                name="requests answered twice",
                value=asked.counts.answered_twice,
                bound=0,
                at_least=False,
            ),
            Gate(name="answers of another request", value=foreign, bound=0, at_least=False),
            *kill_gates(max(2 * BATCH + 8, round(_FEATURES * size))),
        ),
        seconds=time.monotonic() - began,
        notes=(
            f"{asked.counts.requests} sent for {count} wanted, {len(failed)} failed "
            f"({', '.join(f'{name} {n}' for name, n in sorted(classes.items()))})",
        ),
    )


def _is_own(key: str, answer: ChatAnswer) -> bool:
    """Tell whether the answer, whole or spoilt, holds nothing of another request."""
    number = int(key.removeprefix("feature-"))
    return f"passage {number}" in answer.text or "passage" not in answer.text
