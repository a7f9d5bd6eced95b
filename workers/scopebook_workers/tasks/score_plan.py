"""Which labels of an SAE are scored how: samples drawn by the features' numbers."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from scopebook.db.tables import FEATURE_BITS
from scopebook.label_scores import EMBEDDING, JUDGED, MIN_POSITIVES, Asked, LabelToScore
from scopebook_workers.labeling.scoring import detection, embedding, fuzzing, intruder, union
from scopebook_workers.labeling.scoring.cost import FUZZED, Cost, costs_of_one
from scopebook_workers.labeling.scoring.intruder import OWN
from scopebook_workers.labeling.scoring.null import LABELS
from scopebook_workers.llm.chat import ChatRequest
from scopebook_workers.llm.tokens import Counter, estimate_tokens

#: Labels that intruders are looked for, in one run.
INTRUDED: Final = 100
_LOT: Final = "score-1"
_VERSIONS: Final = {
    module.SCORER: module.VERSION for module in (embedding, detection, fuzzing, union, intruder)
}
#: These have a null of permuted labels.
WITH_NULL: Final = (detection.SCORER, fuzzing.SCORER)


def index_of(feature_id: int) -> int:
    """Return a feature's number in its SAE."""
    return feature_id & ((1 << FEATURE_BITS) - 1)


def asked_of(scorers: Collection[str], *, judge: str | None, embedder: str) -> list[Asked]:
    """Return the scorers with their versions, and whom each asks."""
    return [
        Asked(
            scorer=scorer,
            version=version,
            name=embedder if scorer == EMBEDDING else str(judge),
        )
        for scorer, version in _VERSIONS.items()
        if scorer in scorers
    ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The labels of each scorer, in the order of a draw, and those whose score is stored."""

    chosen: dict[str, list[LabelToScore]]
    stored: Collection[tuple[int, str]]
    #: The labels of the senses of each feature that has two or more.
    senses: dict[int, list[LabelToScore]] = field(default_factory=dict)
    #: Labels of one meaning each, of which others' are shuffled in.
    single: Sequence[LabelToScore] = ()
    #: Labels with too few unseen examples.
    n_unseen: int = 0

    def left(self, scorer: str) -> list[LabelToScore]:
        """Return the labels whose score by this scorer is not stored."""
        labels = self.chosen.get(scorer, [])
        return [label for label in labels if (label.id, scorer) not in self.stored]

    def work(self) -> list[tuple[LabelToScore, list[str]]]:
        """Return each label with what is left to be asked of it, in the order of the draw."""
        found: dict[int, tuple[LabelToScore, list[str]]] = {}
        for scorer in self.chosen:
            for label in self.left(scorer):
                found.setdefault(label.id, (label, []))[1].append(scorer)
        return sorted(found.values(), key=lambda pair: _lot(pair[0]))

    def null_pool(self, scorer: str) -> list[LabelToScore]:
        """Return the labels that a null is drawn of; none where no score is left to be made.

        One of each feature: those of its senses would fit its windows, too.
        """
        if scorer not in WITH_NULL or not self.left(scorer):
            return []
        found: dict[int, LabelToScore] = {}
        for label in self.chosen[scorer]:
            found.setdefault(label.feature_id, label)
        return list(found.values())

    def cost(
        self,
        sample: Sequence[Sequence[ChatRequest]],
        nulls: Collection[str],
        count: Counter = estimate_tokens,
    ) -> Cost:
        """Return about what asking will take; of the scorers in `nulls` the null is asked too."""
        each = costs_of_one(sample, count=count)
        labels = {scorer: len(self.left(scorer)) for scorer in self.chosen if scorer in each}
        for scorer in nulls:
            labels[scorer] += min(LABELS, len(self.null_pool(scorer)))
        # A union asks about one label of the whole, its senses, and as many shuffled ones.
        united = sum(
            1 + 2 * len(self.senses[label.feature_id])
            for label in (self.left("union") if "union" in self.chosen else ())
        )
        labels["detection"] = labels.get("detection", 0) + united
        return sum((each[scorer].times(n) for scorer, n in labels.items()), Cost())


def plan(
    labels: Iterable[LabelToScore],
    *,
    scorers: Collection[str],
    sample: int | None,
    judges_keywords: bool,
    stored: Collection[tuple[int, str]],
) -> Plan:
    """Draw the labels of each scorer; a larger sample holds a smaller one.

    Labels that none of the scorers takes are neither drawn nor counted.
    """

    def is_judged(label: LabelToScore) -> bool:
        return judges_keywords or label.source != "keywords"

    taken = [label for label in labels if EMBEDDING in scorers or is_judged(label)]
    # A judge that is named is to be asked: its features are drawn before those it passes over.
    asked = (
        {label.feature_id for label in taken if is_judged(label)}
        if scorers != {EMBEDDING}
        else set()
    )
    drawn = _drawn(
        sorted(taken, key=lambda label: (label.feature_id not in asked, _lot(label))), sample
    )
    fit = [label for label in drawn if len(label.held_out) >= MIN_POSITIVES]
    judged = [label for label in fit if is_judged(label)]
    senses: dict[int, list[LabelToScore]] = {}
    for label in judged:
        if label.senses:
            senses.setdefault(label.feature_id, []).append(label)
    several = {key: found for key, found in senses.items() if len(found) > 1}
    whole = [label for label in judged if not label.senses]
    single = _of_one_sense(judged)
    by_scorer = {
        EMBEDDING: fit,
        "detection": judged,
        "fuzzing": judged[:FUZZED],
        "union": [label for label in whole if label.feature_id in several],
        "intruder": [label for label in single if len(label.members) >= OWN][:INTRUDED],
    }
    return Plan(
        chosen={scorer: by_scorer[scorer] for scorer in (EMBEDDING, *JUDGED) if scorer in scorers},
        stored=stored,
        senses=several,
        single=single,
        n_unseen=len(drawn) - len(fit),
    )


def _of_one_sense(labels: Sequence[LabelToScore]) -> list[LabelToScore]:
    """Return the labels of senses, and those of whole features that have no such label."""
    apart = {label.feature_id for label in labels if label.senses}
    return [label for label in labels if label.senses or label.feature_id not in apart]


def _drawn(labels: Sequence[LabelToScore], sample: int | None) -> list[LabelToScore]:
    features = list(dict.fromkeys(label.feature_id for label in labels))[:sample]
    chosen = set(features)
    return [label for label in labels if label.feature_id in chosen]


def lot_of(feature_id: int) -> bytes:
    """Return what draws features by their number, the same on every instance."""
    return hashlib.sha256(f"{_LOT}\0{index_of(feature_id)}".encode()).digest()


def _lot(label: LabelToScore) -> tuple[bytes, tuple[int, ...], int]:
    return lot_of(label.feature_id), tuple(label.senses), label.id
