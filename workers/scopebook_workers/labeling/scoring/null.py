"""The null: what a scorer gives labels that belong to other features."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel, seed_of
from scopebook_workers.labeling.scoring.detection import score_detection
from scopebook_workers.labeling.scoring.fuzzing import score_fuzzing
from scopebook_workers.labeling.scoring.score import Score
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.together import together

#: Labels of a null: its mean balanced accuracy is then known to about 0.01.
LABELS: Final = 200
#: How far from 0.5 a null may lie; beyond that, judge or held-out sets favour an answer.
TOLERANCE: Final = 0.03

#: A label's key, the label, and the cases of its feature.
Scored = tuple[str, JudgedLabel, Sequence[Case]]


def permuted(labels: Sequence[JudgedLabel], *, key: str, n: int = LABELS) -> list[tuple[int, int]]:
    """Return at most `n` pairs (whose cases, whose label), no label with its own or an equal one.

    Every label is given at most once: each of a random circle gets the label of the next.
    """
    rng = np.random.default_rng(seed_of("null", key))
    circle = rng.permutation(len(labels))[:n].tolist()
    for shift in range(1, len(circle)):
        pairs = list(zip(circle, [*circle[shift:], *circle[:shift]], strict=True))
        different = [(i, j) for i, j in pairs if labels[i].wording() != labels[j].wording()]
        if len(different) == len(pairs):
            return pairs
    # Some wording is so common that each circle meets it: leave those pairs out.
    return different if len(circle) > 1 else []


async def null_scores(
    chat: Chat, scored: Sequence[Scored], *, key: str, scorer: str = "detection", n: int = LABELS
) -> list[Score]:
    """Return the scores of labels on the cases of other features (see `permuted`).

    `scorer` is `detection` or `fuzzing`; the cases must be of that scorer.
    """
    score = score_fuzzing if scorer == "fuzzing" else score_detection
    pairs = permuted([label for _, label, _ in scored], key=key, n=n)
    return await together(
        score(chat, f"{scored[i][0]}/null", scored[j][1], scored[i][2]) for i, j in pairs
    )


def null_value(scores: Sequence[Score]) -> float:
    """Return the mean of the null scores, which is stored with each score of the run."""
    if not scores:
        raise InvalidInputError(
            "There is no null: it needs two labels that differ; label more features first."
        )
    return float(np.mean([score.value for score in scores]))


def null_warning(value: float, n: int) -> str | None:
    """Say what is wrong with a null far from 0.5; None where it is near.

    With few labels it may lie further off by chance, by three standard errors of one label's 0.1.
    """
    allowed = max(TOLERANCE, 0.3 / max(1, n) ** 0.5)
    if abs(value - 0.5) <= allowed:
        return None
    return (
        f"Labels of other features score {value:.2f} where 0.50 ± {allowed:.2f} was expected; "
        "do not trust this run's scores before judge and held-out sets are looked at."
    )
