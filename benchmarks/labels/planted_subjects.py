"""Features planted into made-up text: each fires on the words of one subject.

A subject's words are of two halves, and a document speaks of one half alone: a label of one half
misses every second document. Subjects come in pairs, as rivers and lakes do: they share a field of
words and have near directions. A label twice too broad takes in the other one of the pair.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.scoring.cases import JudgedLabel
from scopebook_workers.labeling.scoring.panel import Panel

TOKENS: Final = 80
WORDS_OF_HALF: Final = 8
#: Words that both subjects of a pair are spoken of with.
WORDS_OF_FIELD: Final = 20
FILLERS: Final = 400
DOCUMENTS: Final = 40
PASSAGES: Final = 2
#: Documents held out of each feature: every second.
PANEL_PER_SUBJECT: Final = 10
#: Shares of a passage's words: those of its subject, and with them those of its field.
_ON_SUBJECT, _IN_FIELD = 0.2, 0.4


@dataclass(frozen=True, eq=False)
class Planted:
    """A feature with its examples, every second document of which is held out."""

    index: int
    firings: Sequence[Firing]
    held_out: Sequence[int]

    @property
    def label(self) -> JudgedLabel:
        """The right label."""
        return JudgedLabel(text=f"subject {self.index}")


@dataclass(frozen=True, eq=False)
class World:
    """Subjects, their features, and a panel of passages that are no feature's examples."""

    features: Sequence[Planted]
    panel: Panel


def words_of(subject: int, half: int) -> list[str]:
    """Return the words of half a subject, which stand nowhere else."""
    return [f"s{subject}h{half}w{i}" for i in range(WORDS_OF_HALF)]


def subject_of(word: str) -> tuple[int, int] | None:
    """Return the subject and half that a word belongs to; None for a filler."""
    if not word.startswith("s") or "h" not in word:
        return None
    subject, rest = word[1:].split("h")
    return int(subject), int(rest.split("w")[0])


def pair_of(subject: int) -> int:
    """Return the other subject of the pair."""
    return subject ^ 1


def plant(n_features: int, *, seed: int = 0) -> World:
    """Return a world of so many features, an even number."""
    rng = np.random.default_rng(seed)
    features = []
    for subject in range(n_features):
        passages = [
            _passage(subject, document % 2, f"{subject}/{document}", rng)
            for document in range(DOCUMENTS)
            for _ in range(PASSAGES)
        ]
        # Halves alternate, so documents are held out two by two.
        held_out = [i for i in range(len(passages)) if i // (2 * PASSAGES) % 2]
        features.append(Planted(subject, [_firing(p, subject) for p in passages], held_out))
    return World(features, _panel(n_features, rng))


def _panel(n_features: int, rng: np.random.Generator) -> Panel:
    passages: list[Passage] = []
    rows: list[tuple[int, int, int, float]] = []
    for subject in range(n_features):
        for number in range(PANEL_PER_SUBJECT):
            passage = _passage(subject, number % 2, f"panel/{subject}/{number}", rng)
            firing = _firing(passage, subject)
            rows.append((subject, len(passages), firing.peak, float(firing.activations.max())))
            passages.append(passage)
    columns = list(zip(*rows, strict=True))
    return Panel.of(
        passages,
        n_features=n_features,
        features=np.asarray(columns[0], dtype=np.int64),
        contexts=np.asarray(columns[1], dtype=np.int32),
        peaks=np.asarray(columns[2], dtype=np.int32),
        activations=np.asarray(columns[3], dtype=np.float32),
    )


_ids = iter(range(1, 2**31))


def _passage(subject: int, half: int, document: str, rng: np.random.Generator) -> Passage:
    own = words_of(subject, half)
    field = [f"field{subject // 2}w{i}" for i in range(WORDS_OF_FIELD)]
    fillers = [f"filler{i}" for i in range(FILLERS)]
    words = []
    for draw in rng.random(TOKENS):
        kind = own if draw < _ON_SUBJECT else field if draw < _IN_FIELD else fillers
        words.append(kind[rng.integers(len(kind))])
    words[TOKENS // 2] = own[0]
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    number = next(_ids)
    hashed = int.from_bytes(hashlib.sha256(document.encode()).digest()[:7])
    return Passage(
        id=number,
        document_id=hashed % 2**31,
        document_hash=hashed,
        group=number,
        text=" ".join(words),
        begins=np.asarray([0, *(ends[:-1] + 1)], dtype=np.int32),
        ends=ends.astype(np.int32),
        tag=None,
        language=None,
    )


def _firing(passage: Passage, subject: int) -> Firing:
    words = passage.text.split(" ")
    positions = np.flatnonzero(
        [(subject_of(word) or (-1, 0))[0] == subject for word in words]
    ).astype(np.int32)
    activations = (1 + (positions * 7919 + passage.id * 31) % 97 / 97).astype(np.float32)
    return Firing(
        passage=passage,
        peak=int(positions[activations.argmax()]),
        positions=positions,
        activations=activations,
    )


def term_ids(passage: Passage, first: int, last: int, numbers: dict[str, int]) -> NDArray[np.int32]:
    """Return the numbers of a window's words, new words numbered as they come."""
    begin, end = int(passage.begins[first]), int(passage.ends[last - 1])
    words = passage.text[begin:end].split(" ")
    return np.asarray([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int32)


def neighbours_of(n_features: int, subject: int) -> list[int]:
    """Return the features with the nearest directions: the pair's other, then two more pairs."""
    others = [subject + shift for shift in (2, -2, 4, -4)]
    return [pair_of(subject), *(other % n_features for other in others)]
