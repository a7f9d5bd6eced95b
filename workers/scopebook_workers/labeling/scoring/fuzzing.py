"""Fuzzing: does the label tell on which tokens of a window the feature fires?"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from scopebook_workers.labeling.evidence import Firing
from scopebook_workers.labeling.prompts import shown_tokens
from scopebook_workers.labeling.scoring.asking import case_requests, predict
from scopebook_workers.labeling.scoring.cases import (
    POSITIVES,
    Case,
    JudgedLabel,
    Run,
    seed_of,
)
from scopebook_workers.labeling.scoring.prompts import FUZZING
from scopebook_workers.labeling.scoring.score import Score, require_both_kinds, score_of
from scopebook_workers.llm.chat import Chat, ChatRequest

SCORER: Final = "fuzzing"
VERSION: Final = "fuzzing-1"
#: Tokens above this share of the shown window's largest activation are marked.
MARKED_ABOVE: Final = 0.3
_FIELD: Final = "right"


def runs_of(firing: Firing) -> list[Run]:
    """Return the runs of neighbouring tokens that are marked in the shown window."""
    first, last = shown_tokens(len(firing.passage.begins), firing.peak)
    inside = (firing.positions >= first) & (firing.positions < last)
    positions, activations = firing.positions[inside], firing.activations[inside]
    if not len(positions):
        return []
    strong = np.sort(positions[activations > MARKED_ABOVE * activations.max()])
    cuts = np.flatnonzero(np.diff(strong) > 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(strong, cuts)]


def moved_runs(firing: Firing, runs: Sequence[Run], rng: np.random.Generator) -> list[Run] | None:
    """Return as many runs of the same lengths on silent tokens of the window, or None.

    The longest are placed first. Where the silent tokens do not suffice, tokens that fire weakly
    and have no mark are taken too; runs never touch, else they would be one.
    """
    first, last = shown_tokens(len(firing.passage.begins), firing.peak)
    marked = {token for begin, end in runs for token in range(begin, end)}
    blank = {token for token in range(first, last) if _blank(firing, token)}
    for taken in (marked | blank | {int(token) for token in firing.positions}, marked | blank):
        placed = _place(sorted((end - begin for begin, end in runs), reverse=True), taken, rng,
                        (first, last))  # fmt: skip
        if placed is not None:
            return placed
    return None


def _blank(firing: Firing, token: int) -> bool:
    begin, end = int(firing.passage.begins[token]), int(firing.passage.ends[token])
    return not firing.passage.text[begin:end].strip()


def _place(
    lengths: Sequence[int], taken: set[int], rng: np.random.Generator, window: Run
) -> list[Run] | None:
    free = set(range(*window)) - taken
    placed: list[Run] = []
    for length in lengths:
        starts = [at for at in sorted(free) if all(at + i in free for i in range(length))]
        if not starts:
            return None
        start = starts[int(rng.integers(len(starts)))]
        placed.append((start, start + length))
        free -= set(range(start - 1, start + length + 1))
    return sorted(placed)


def fuzzing_cases(positives: Sequence[Firing], *, key: str) -> list[Case]:
    """Return at most 20 windows that fire, half with their marks moved, in a drawn order.

    Windows without a mark, or without room to move it, are left out; the halves then differ by
    one case at most.
    """
    rng = np.random.default_rng(seed_of(SCORER, key))
    cases: list[Case] = []
    for place in rng.permutation(len(positives)).tolist():
        firing = positives[place]
        runs = runs_of(firing)
        moved = moved_runs(firing, runs, rng) if runs else None
        if moved is None:
            continue
        right = len(cases) % 2 == 0
        cases.append(
            Case(
                passage=firing.passage,
                center=firing.peak,
                fires=right,
                hard=not right,
                marks=runs if right else moved,
            )
        )
        if len(cases) == POSITIVES:
            break
    return [cases[i] for i in rng.permutation(len(cases)).tolist()]


def fuzzing_requests(key: str, label: JudgedLabel, cases: Sequence[Case]) -> list[ChatRequest]:
    """Return what a judge is asked, for a batch file or to count its tokens."""
    return case_requests(f"{key}/{SCORER}", FUZZING, _FIELD, label, cases)


async def score_fuzzing(chat: Chat, key: str, label: JudgedLabel, cases: Sequence[Case]) -> Score:
    """Return the score of a label on marked windows (see `fuzzing_cases`).

    Right marks are the positives, moved ones the hard negatives; there are no random ones.
    """
    require_both_kinds(key, cases)
    predictions = await predict(chat, fuzzing_requests(key, label, cases), _FIELD, len(cases))
    return score_of(predictions, cases, scorer=SCORER, version=VERSION)
