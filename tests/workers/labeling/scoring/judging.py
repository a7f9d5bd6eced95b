"""Judges for tests of the scorers: what they say is decided by the test, and kept."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.scoring.panel import Panel
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest

PASSAGE = re.compile(r"^<(\w+) passage \d+>\n(.*?)\n</\1 passage \d+>$", re.S | re.M)


class Told:
    """A judge whose answers a function makes of each request; None is a request that fails."""

    model = "told"
    endpoint = "nowhere"

    def __init__(self, say: Callable[[ChatRequest], str | None]) -> None:
        self.say = say
        self.asked: list[ChatRequest] = []

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request)
        text = self.say(request)
        if text is None:
            raise ChatFailedError("timeout", "too late")
        return ChatAnswer(text=text, model="told-2", tokens_in=100, tokens_cached=80, tokens_out=10)


def passages_of(request: ChatRequest) -> list[str]:
    """Return the passages of a request, as they are shown."""
    return [text for _, text in PASSAGE.findall(request.messages[-1].content)]


def make_passage(
    number: int, words: Sequence[str], *, document: int | None = None, group: int | None = None
) -> Passage:
    """Return a passage with one token a word."""
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return Passage(
        id=number,
        document_id=number if document is None else document,
        document_hash=number if document is None else document,
        group=number if group is None else group,
        text=" ".join(words),
        begins=np.asarray([0, *(ends[:-1] + 1)], dtype=np.int32),
        ends=ends.astype(np.int32),
        tag=None,
        language=None,
    )


def fire(passage: Passage, *positions: int) -> Firing:
    """Return an example that fires on the tokens, the first most."""
    order = np.argsort(positions)
    activations = np.linspace(2, 1, len(positions), dtype=np.float32)
    return Firing(
        passage=passage,
        peak=positions[0],
        positions=np.asarray(positions, dtype=np.int32)[order],
        activations=activations[order],
    )


def make_panel(passages: Sequence[Passage], fires: dict[int, Sequence[int]]) -> Panel:
    """Return a panel of as many features as `fires` names, each on token 1 of some passages."""
    rows = [(feature, context) for feature, contexts in fires.items() for context in contexts]
    features, contexts = (np.asarray(column) for column in zip(*rows, strict=True))
    return Panel.of(
        passages,
        n_features=max(fires) + 1,
        features=features.astype(np.int64),
        contexts=contexts.astype(np.int32),
        peaks=np.ones(len(rows), dtype=np.int32),
        activations=np.arange(len(rows), 0, -1).astype(np.float32),
    )
