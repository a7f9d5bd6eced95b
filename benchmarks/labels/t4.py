"""T4: does the wording name the right concept, and only because the prompt says so?"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from benchmarks.labels.prompt_material import (
    Concept,
    PlantedMaterial,
    concepts,
    library,
    plant,
    singles,
    unions,
)
from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.stubs.faults import StubServer
from benchmarks.labels.stubs.reader import Reader

from scopebook_workers.labeling.llm_labels import Wording, word
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.server import ServerChat

FEATURES: Final = 150


def reader() -> Reader:
    """Return a reader that knows the library, but no text that is shown or held out."""
    words: dict[str, Counter[str]] = {
        name: module.words("known") for name, module in library().items()
    }
    return Reader(concepts(), words)


async def word_all(chat: Chat, features: Sequence[PlantedMaterial]) -> list[Wording]:
    """Word every feature as the labeler does."""
    return await asyncio.gather(*(word(chat, one.key, one.material) for one in features))


def ask(answer: Reader, features: Sequence[PlantedMaterial]) -> list[Wording]:
    """Word every feature over HTTP."""

    async def run_all(url: str) -> list[Wording]:
        async with ServerChat(url, model="reader") as chat:
            return await word_all(chat, features)

    with StubServer(answer) as server:
        return asyncio.run(run_all(server.url))


def shuffled(features: Sequence[PlantedMaterial], *, seed: int = 0) -> list[PlantedMaterial]:
    """Deal all shown examples out anew among the features; keywords are left out."""
    rng = np.random.default_rng(seed)
    places = [
        (number, i)
        for number, one in enumerate(features)
        for cluster in one.material.clusters
        for i in cluster.representatives
    ]
    drawn = iter(rng.permutation(len(places)).tolist())
    dealt = []
    for one in features:
        firings = list(one.material.firings)
        for cluster in one.material.clusters:
            for i in cluster.representatives:
                number, other = places[next(drawn)]
                firings[i] = features[number].material.firings[other]
        clusters = [replace(cluster, keywords=[]) for cluster in one.material.clusters]
        material = replace(one.material, firings=firings, clusters=clusters)
        dealt.append(replace(one, material=material))
    return dealt


def right_senses(wording: Wording, wanted: Sequence[Concept]) -> list[bool]:
    """Tell for each cluster whether the sense that covers it names its concept."""
    named = {number: sense.label for sense in wording.senses for number in sense.clusters}
    return [
        wording.status == "ok"
        and named.get(number) == f'"{concept.word}" in the documentation of {concept.module}'
        for number, concept in enumerate(wanted)
    ]


def share_right(features: Sequence[PlantedMaterial], wordings: Sequence[Wording]) -> float:
    """Return the share of clusters whose sense names the right concept."""
    right = [
        one
        for feature, wording in zip(features, wordings, strict=True)
        for one in right_senses(wording, feature.concepts)
    ]
    return float(np.mean(right))


def run(*, size: float = 1.0) -> TierResult:
    """Return the tier's figures; `size` below 1 takes fewer features."""
    began = time.monotonic()
    n = max(8, round(FEATURES * size))
    known, one, several = reader(), plant(singles(n), seed=0), plant(unions(n), seed=1)
    found = {name: ask(known, these) for name, these in (("one", one), ("several", several))}
    dealt = shuffled(one)
    ended = Counter(wording.status for these in found.values() for wording in these)
    return TierResult(
        tier="T4",
        title="right concepts by a model that only reads the prompt",
        gates=(
            Gate(name="one sense", value=share_right(one, found["one"]), bound=0.95),
            Gate(
                name="each sense of a union",
                value=share_right(several, found["several"]),
                bound=0.90,
            ),
            Gate(
                name="examples shuffled across features",
                value=share_right(dealt, ask(known, dealt)),
                bound=0.10,
                at_least=False,
            ),
        ),
        seconds=time.monotonic() - began,
        notes=(
            f"{n} features with one sense, {n} with two or three, {len(concepts())} concepts",
            ", ".join(f"{status} {count}" for status, count in sorted(ended.items())),
        ),
    )
