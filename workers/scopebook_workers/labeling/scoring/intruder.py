"""Intruder: do a sense's examples belong together, whatever the label says?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.evidence import Firing
from scopebook_workers.labeling.scoring.asking import ask_all, passages_request, read_object
from scopebook_workers.labeling.scoring.cases import Case, held_out_sha256, seed_of
from scopebook_workers.labeling.scoring.metrics import wilson
from scopebook_workers.labeling.scoring.prompts import INTRUDER
from scopebook_workers.labeling.scoring.score import Score
from scopebook_workers.llm.chat import Chat, ChatAnswer, ChatRequest

SCORER: Final = "intruder"
VERSION: Final = "intruder-1"
DRAWS: Final = 10
OWN: Final = 4
CHANCE: Final = 1 / (OWN + 1)
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"stranger": {"type": "integer", "minimum": 1, "maximum": OWN + 1}},
    "required": ["stranger"],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """Five windows, each with a mark on its peak alone, and the place of the stranger from 0."""

    cases: Sequence[Case]
    stranger: int


def draws_of(own: Sequence[Firing], strangers: Sequence[Firing], *, key: str) -> list[Draw]:
    """Return ten draws of four own examples of a sense and a stranger, the same each time.

    Strangers are examples of other senses or features. Each example and each stranger is used
    about as often as any other; no draw holds the same text, or near repeats of it, twice.
    """
    rng = np.random.default_rng(seed_of(SCORER, key))
    draws: list[Draw] = []
    for number in range(DRAWS):
        if number % max(1, len(strangers)) == 0:
            queue = rng.permutation(len(strangers)).tolist()
        chosen = _distinct([own[i] for i in rng.permutation(len(own)).tolist()], OWN)
        known = {firing.passage.group for firing in chosen}
        others = [i for i in queue if strangers[i].passage.group not in known]
        if len(chosen) < OWN or not others:
            raise InvalidInputError(
                f"The sense {key} has {len(chosen)} different examples and {len(strangers)} "
                f"strangers; the intruder score needs {OWN} and one, so leave it out."
            )
        queue.remove(others[0])
        queue.append(others[0])
        place = int(rng.integers(OWN + 1))
        five = [*chosen[:place], strangers[others[0]], *chosen[place:]]
        draws.append(
            Draw(cases=[_marked(f, i != place) for i, f in enumerate(five)], stranger=place)
        )
    return draws


def _distinct(firings: Sequence[Firing], n: int) -> list[Firing]:
    by_group = {firing.passage.group: firing for firing in reversed(firings)}
    return list(by_group.values())[-n:]


def _marked(firing: Firing, own: bool) -> Case:
    """Mark the peak alone: how much else fires would tell own and stranger apart."""
    marks = [(firing.peak, firing.peak + 1)]
    return Case(passage=firing.passage, center=firing.peak, fires=own, hard=not own, marks=marks)


def intruder_requests(key: str, draws: Sequence[Draw]) -> list[ChatRequest]:
    """Return what a judge is asked, for a batch file or to count its tokens."""
    return [
        passages_request(
            f"{key}/{SCORER}/{number}", INTRUDER, [case.text() for case in draw.cases], _SCHEMA
        )
        for number, draw in enumerate(draws)
    ]


async def score_intruder(chat: Chat, key: str, draws: Sequence[Draw]) -> Score:
    """Return the share of draws in which the judge finds the stranger; chance is 0.20.

    `tp` are the strangers found, `fn` those missed or without a readable answer; `f1` is the
    share once more, as there is one guess for each stranger.
    """
    answers, usage = await ask_all(chat, intruder_requests(key, draws), _read)
    found = sum(answer == draw.stranger for answer, draw in zip(answers, draws, strict=True))
    share = found / len(draws)
    low, high = wilson(found, len(draws))
    return Score(
        scorer=SCORER,
        scorer_version=VERSION,
        n_pos=len(draws),
        n_neg_random=0,
        n_neg_hard=0,
        n_failed=sum(answer is None for answer in answers),
        tp=found,
        fp=0,
        tn=0,
        fn=len(draws) - found,
        value=share,
        ci_low=low,
        ci_high=high,
        f1=share,
        f1_low=low,
        f1_high=high,
        held_out_sha256=held_out_sha256([case for draw in draws for case in draw.cases]),
        null_value=CHANCE,
        model_requested=chat.model,
        model_reported=", ".join(usage.models) or None,
        usage=usage,
    )


def _read(_: ChatRequest, answer: ChatAnswer) -> int | None:
    number = (read_object(answer.text) or {}).get("stranger")
    if type(number) is not int or not 1 <= number <= OWN + 1:
        return None
    return number - 1
