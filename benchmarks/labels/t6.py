"""T6: do the scores tell right labels from wrong, too narrow and too broad ones?

A judge with the answer key takes the place of the language model, asked over HTTP by the scorers
as they are. It is wrong in 2 % of its answers, so that a fall must show above some noise.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from benchmarks.labels.planted_subjects import (
    Planted,
    World,
    neighbours_of,
    pair_of,
    plant,
    subject_of,
    term_ids,
)
from benchmarks.labels.result import Gate, TierResult
from benchmarks.labels.stubs.judge import Judge, serving
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import Firing, window_of
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel, detection_cases
from scopebook_workers.labeling.scoring.detection import score_detection
from scopebook_workers.labeling.scoring.fuzzing import fuzzing_cases, score_fuzzing
from scopebook_workers.labeling.scoring.metrics import Confusion, auprc, auroc
from scopebook_workers.labeling.scoring.negatives import Negatives, Search, choose_negatives
from scopebook_workers.labeling.scoring.null import null_scores, null_value
from scopebook_workers.labeling.scoring.panel import as_firing
from scopebook_workers.labeling.scoring.score import Score
from scopebook_workers.labeling.window_vectors import WindowVectors
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.together import together

FEATURES: Final = 200
WRONG: Final = 0.02
#: So far away is a subject that has nothing to do with one.
FAR: Final = 11
#: A figure has noticed a worse label when it is lower by more than this.
NOTICED: Final = 0.01
_MEANT: Final = re.compile(r"(\d+)(?: half (\d))?")


def label_of(subject: int, kind: str) -> JudgedLabel:
    """Return a subject's right label, one of half of it, or one of it and another subject."""
    if kind == "halved":
        return JudgedLabel(text=f"subject {subject} half 0")
    if kind == "doubled at random":
        return JudgedLabel(text=f"subject {subject} or {subject + FAR}")
    if kind == "doubled":
        return JudgedLabel(text=f"subject {subject} or {pair_of(subject)}")
    return JudgedLabel(text=f"subject {subject}")


def fits(description: str, passage: str) -> bool:
    """Tell by the answer key whether a passage holds a word that the description means."""
    meant = [(int(s), int(half) if half else None) for s, half in _MEANT.findall(description)]
    found = {subject_of(word.strip("⟦⟧")) for word in passage.split()} - {None}
    return any(
        place is not None and place[0] == subject and half in (None, place[1])
        for subject, half in meant
        for place in found
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """A feature with its cases."""

    feature: Planted
    cases: Sequence[Case]
    negatives: Negatives
    fuzzed: Sequence[Case]

    @property
    def key(self) -> str:
        """Name it towards the judge."""
        return f"planted/{self.feature.index}"

    def shared_documents(self) -> int:
        """Count documents of the cases that an explainer would have seen."""
        held_out = set(self.feature.held_out)
        explained = {
            firing.passage.document_hash
            for i, firing in enumerate(self.feature.firings)
            if i not in held_out
        }
        shown = {case.passage.document_hash for case in [*self.cases, *self.fuzzed]}
        return len(explained & shown)


def prepare(world: World) -> list[Prepared]:
    """Choose each feature's held-out cases, as a scoring run does."""
    numbers: dict[str, int] = {}

    def terms(firings: Sequence[Firing]) -> list[NDArray[np.int32]]:
        return [term_ids(f.passage, *window_of(f), numbers) for f in firings]

    quiets = world.panel.quiets()
    windows = terms([as_firing(quiet) for quiet in quiets])
    vectors = WindowVectors(windows)
    search = Search(panel=world.panel, windows=quiets, vectors=vectors.embed(windows))
    prepared = []
    for feature in world.features:
        key = f"planted/{feature.index}"
        positives = [feature.firings[i] for i in feature.held_out]
        negatives = choose_negatives(
            search,
            feature.index,
            key=key,
            firings=feature.firings,
            held_out=feature.held_out,
            positive_vectors=vectors.embed(terms(positives)),
            neighbours=neighbours_of(len(world.features), feature.index),
        )
        cases = detection_cases(positives, negatives.random, negatives.hard, key=key)
        prepared.append(Prepared(feature, cases, negatives, fuzzing_cases(positives, key=key)))
    return prepared


@dataclass(frozen=True, eq=False)
class Judged:
    """The scores of all features, by kind of label."""

    by_kind: dict[str, list[Score]]
    fuzzing: list[Score]
    null: list[Score]
    fuzzing_null: list[Score]

    def lower(self, kind: str) -> float:
        """Return the share of features whose F1 is lower than that of the right label."""
        pairs = zip(self.by_kind["oracle"], self.by_kind[kind], strict=True)
        return float(np.mean([worse.f1 < right.f1 for right, worse in pairs]))


async def judge_all(chat: Chat, prepared: Sequence[Prepared]) -> Judged:
    """Score each feature's right, halved and doubled label, and labels of other features."""
    by_kind = {}
    for kind in ("oracle", "halved", "doubled", "doubled at random"):
        by_kind[kind] = await together(
            score_detection(chat, f"{p.key}/{kind}", label_of(p.feature.index, kind), p.cases)
            for p in prepared
        )
    fuzzing = await together(
        score_fuzzing(chat, p.key, label_of(p.feature.index, "oracle"), p.fuzzed) for p in prepared
    )
    labels = [(p.key, label_of(p.feature.index, "oracle"), p) for p in prepared]
    null = await null_scores(chat, [(k, label, p.cases) for k, label, p in labels], key="t6")
    fuzzing_null = await null_scores(
        chat, [(k, label, p.fuzzed) for k, label, p in labels], key="t6", scorer="fuzzing"
    )
    return Judged(by_kind, fuzzing, null, fuzzing_null)


def run(*, size: float = 1.0) -> TierResult:
    """Measure the scorers on 200 features, or fewer by `size`."""
    begun = time.perf_counter()
    world = plant(2 * max(15, round(size * FEATURES / 2)))
    prepared = prepare(world)
    with serving(Judge(fits, wrong=WRONG)) as chat:
        judged = asyncio.run(judge_all(chat, prepared))
    oracle = float(np.mean([score.value for score in judged.by_kind["oracle"]]))
    fuzzing = float(np.mean([score.value for score in judged.fuzzing]))
    off = [abs(null_value(scores) - 0.5) for scores in (judged.null, judged.fuzzing_null)]
    shared = sum(p.shared_documents() for p in prepared)
    gates = [
        Gate(name="right labels, detection", value=oracle, bound=0.95),
        Gate(name="right labels, fuzzing", value=fuzzing, bound=0.95),
        Gate(name="random labels off 0.50, detection", value=off[0], bound=0.03, at_least=False),
        Gate(name="random labels off 0.50, fuzzing", value=off[1], bound=0.03, at_least=False),
        Gate(name="halved labels of lower F1", value=judged.lower("halved"), bound=0.90),
        Gate(name="doubled labels of lower F1", value=judged.lower("doubled"), bound=0.90),
        Gate(name="documents seen by both sides", value=shared, bound=0, at_least=False),
    ]
    notes = [_scored(judged), *_natural(world)]
    seconds = time.perf_counter() - begun
    return TierResult(
        tier="T6", title="sanity of the scorers", gates=gates, seconds=seconds, notes=notes
    )


def _scored(judged: Judged) -> str:
    means = ", ".join(
        f"{kind} {np.mean([s.value for s in scores]):.3f} / {np.mean([s.f1 for s in scores]):.3f}"
        for kind, scores in judged.by_kind.items()
    )
    return (
        f"balanced accuracy / F1 on 20 + 10 random + 10 hard: {means}; of the labels that take in "
        f"a subject of another field {judged.lower('doubled at random'):.0%} have a lower F1"
    )


def _figures(truth: NDArray[np.bool_], graded: NDArray[np.float64]) -> dict[str, float]:
    confusion = Confusion.of(truth.tolist(), (graded > 0.5).tolist())
    return {
        "F1": confusion.f1,
        "AUPRC": auprc(truth, graded),
        "balanced accuracy": confusion.balanced_accuracy,
        "accuracy": confusion.accuracy,
        "recall": confusion.recall,
        "precision": confusion.precision,
        "AUROC": auroc(truth, graded),
    }


def _natural(world: World) -> list[str]:
    """Say which figures notice worse labels where positives are as rare as in the corpus.

    The whole panel is answered by the key with some noise: graded answers, 0 to 1.
    """
    rng = np.random.default_rng(0)
    n = len(world.features)
    subject = np.repeat(np.arange(n), len(world.panel) // n)
    half = np.arange(len(subject)) % 2
    answers: dict[str, Callable[[int], NDArray[np.bool_]]] = {
        "halved": lambda own: (subject == own) & (half == 0),
        "doubled": lambda own: (subject == own) | (subject == pair_of(own)),
    }
    noticed: dict[str, dict[str, list[bool]]] = {kind: {} for kind in answers}
    for own in range(n):
        truth = subject == own
        right = _figures(truth, truth + rng.normal(0, 0.15, len(truth)))
        for kind, says in answers.items():
            worse = _figures(truth, says(own) + rng.normal(0, 0.15, len(truth)))
            for name, value in worse.items():
                noticed[kind].setdefault(name, []).append(value < right[name] - NOTICED)
    return [
        f"{kind} labels noticed at 1 positive in {n}: "
        + ", ".join(f"{name} {np.mean(seen):.0%}" for name, seen in found.items())
        for kind, found in noticed.items()
    ]
