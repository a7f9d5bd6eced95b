"""What a label is tried on: short windows of which it is known whether the feature fires."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.hostile_text import CLOSE, OPEN, harmless
from scopebook_workers.labeling.material import Quiet
from scopebook_workers.labeling.prompts import shown_tokens

#: Cases of one label.
POSITIVES: Final = 20
RANDOM: Final = 10
HARD: Final = 10

#: A run of tokens: the first, and the one after the last.
Run = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class JudgedLabel:
    """A label as a judge reads it."""

    text: str
    description: str = ""

    def wording(self) -> str:
        """Return both in one line."""
        parts = [" ".join(harmless(part).split()) for part in (self.text, self.description)]
        return ". ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A window and the truth about it."""

    passage: Passage
    center: int
    #: For fuzzing: whether the marks are right.
    fires: bool
    #: A negative that resembles the positives.
    hard: bool = False
    #: Runs of tokens of the passage that are marked.
    marks: Sequence[Run] = ()

    def text(self) -> str:
        """Return the window as it is shown, with marks around the runs."""
        passage = self.passage
        first, last = shown_tokens(len(passage.begins), self.center)
        at, end = int(passage.begins[first]), int(passage.ends[last - 1])
        pieces: list[str] = []
        for begin_token, end_token in self.marks:
            begin, stop = int(passage.begins[begin_token]), int(passage.ends[end_token - 1])
            # Two tokens may share a character; a mark begins where the one before has ended.
            begin, stop = max(begin, at), max(stop, at)
            pieces += [harmless(passage.text[at:begin]), OPEN]
            pieces += [harmless(passage.text[begin:stop]), CLOSE]
            at = stop
        return "".join([*pieces, harmless(passage.text[at:end])])


def seed_of(*parts: object) -> int:
    """Return a number that depends on the parts alone, the same in every process."""
    return int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:8])


def detection_cases(
    positives: Sequence[Firing], random: Sequence[Quiet], hard: Sequence[Quiet], *, key: str
) -> list[Case]:
    """Return at most 20 positives, 10 random and 10 hard negatives, in an order drawn by `key`."""
    rng = np.random.default_rng(seed_of("detection", key))
    chosen = sorted(rng.permutation(len(positives))[:POSITIVES].tolist())
    cases = [
        *(Case(passage=positives[i].passage, center=positives[i].peak, fires=True) for i in chosen),
        *(
            Case(passage=quiet.passage, center=quiet.center, fires=False)
            for quiet in random[:RANDOM]
        ),
        *(
            Case(passage=quiet.passage, center=quiet.center, fires=False, hard=True)
            for quiet in hard[:HARD]
        ),
    ]
    return [cases[i] for i in rng.permutation(len(cases)).tolist()]


def held_out_sha256(cases: Sequence[Case]) -> str:
    """Return a hash of the cases in any order; the same on every instance with the same texts."""
    lines = sorted(
        f"{case.passage.document_hash:016x} {case.fires:d}{case.hard:d} "
        + hashlib.sha256(case.text().encode("utf-8", "replace")).hexdigest()
        for case in cases
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
