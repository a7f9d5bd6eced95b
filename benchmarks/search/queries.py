"""What users ask: questions that no label repeats word by word, and the filters they set."""

from typing import Final

import numpy as np
from benchmarks.search.texts import ASPECTS, CHINESE, SUBJECTS

from scopebook.search_filters import Filters

#: Kinds of filters, with what each leaves of 786,432 features, about.
SCOPES: Final = {
    "no filter": Filters(),
    "one layer (4 %)": Filters(layers=(11,)),
    "six layers, worded by a model (14 %)": Filters(layers=(4, 5, 6, 7, 8, 9), sources=("llm",)),
    "a range of densities (8 %)": Filters(density_min=1e-4, density_max=1.6e-4),
    "a score (9 %)": Filters(score_min=0.85),
    "Chinese labels (5 %)": Filters(scripts=("Hani",)),
    "one author (1.2 %)": Filters(authors=("ada",)),
    "one author, a range (0.1 %)": Filters(authors=("ada",), density_min=3e-4, density_max=6e-4),
}


def questions(n: int, *, seed: int = 7) -> list[str]:
    """Return so many questions: subjects, loose phrases, some mistyped, some Chinese."""
    dice = np.random.default_rng(seed)
    return [_question(dice, place) for place in range(n)]


def _question(dice: np.random.Generator, place: int) -> str:
    subject = SUBJECTS[dice.integers(len(SUBJECTS))]
    aspect = ASPECTS[dice.integers(len(ASPECTS))].split()[0]
    kind = place % 20
    if kind == 0:
        return list(CHINESE)[dice.integers(len(CHINESE))]
    if kind == 1:
        cut = int(dice.integers(1, len(subject) - 1))
        return subject[:cut] + subject[cut + 1 :]
    if kind < 8:
        return subject
    return f"{subject} {aspect}" if kind < 14 else f"text with {aspect} about {subject}"
