"""Union of senses: do several labels together fit better than one, beyond what chance gives?

A feature is said to fire if any of its senses' labels fits. More labels say yes more often,
whatever they say: so the gain of as many labels of other features is taken off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel
from scopebook_workers.labeling.scoring.detection import detect
from scopebook_workers.labeling.scoring.metrics import Confusion
from scopebook_workers.labeling.scoring.score import (
    Predictions,
    Score,
    Usage,
    require_both_kinds,
    score_of,
)
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.together import together

SCORER: Final = "union"
VERSION: Final = "union-2"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """How much better the union is than one label, in balanced accuracy and in F1."""

    balanced: float
    f1: float


def united(predictions: Sequence[Predictions]) -> Predictions:
    """Return yes where any says yes; without a yes, a failed answer makes the whole one fail."""
    said = np.stack([part.said for part in predictions])
    whole = np.where((said == 1).any(axis=0), 1, np.where((said < 0).any(axis=0), -1, 0))
    return Predictions(
        said=whole.astype(np.int8),
        usage=sum((part.usage for part in predictions), Usage()),
        model_requested=predictions[0].model_requested,
    )


def gain_of(union: Predictions, singles: Sequence[Predictions], cases: Sequence[Case]) -> Gain:
    """Return the union's figures less the mean ones of the single labels."""
    together = _confusion(union, cases)
    alone = [_confusion(single, cases) for single in singles]
    return Gain(
        balanced=together.balanced_accuracy - float(np.mean([c.balanced_accuracy for c in alone])),
        f1=together.f1 - float(np.mean([c.f1 for c in alone])),
    )


def _confusion(predictions: Predictions, cases: Sequence[Case]) -> Confusion:
    return Confusion.of([case.fires for case in cases], predictions.as_answers(cases))


async def score_union(
    chat: Chat,
    key: str,
    *,
    single: JudgedLabel,
    senses: Sequence[JudgedLabel],
    shuffled: Sequence[JudgedLabel],
    cases: Sequence[Case],
) -> Score:
    """Return the score of two or more senses' labels together.

    `single` is the one label of the whole feature, `shuffled` as many labels of other features as
    there are senses. `value` is the union's balanced accuracy, `null_value` that of the shuffled
    union. In `details`: `gain` over the single label, `null_gain` of the shuffled labels over one
    of them (the mean over which), `net_gain` their difference, and the same as `f1_gain`,
    `f1_null_gain`, `f1_net_gain`.
    """
    if len(senses) < 2 or len(shuffled) != len(senses):
        raise InvalidInputError(
            f"The union of {key} needs two or more senses and as many labels of other features, "
            f"but has {len(senses)} and {len(shuffled)}; score a feature of one sense by detection."
        )
    require_both_kinds(key, cases)
    labels = [single, *senses, *shuffled]
    said = await together(
        detect(chat, f"{key}/{SCORER}/{n}", label, cases) for n, label in enumerate(labels)
    )
    k = len(senses)
    union, null = united(said[1 : 1 + k]), united(said[1 + k :])
    gain, null_gain = gain_of(union, said[:1], cases), gain_of(null, said[1 + k :], cases)
    every = Predictions(
        said=union.said, usage=united(said).usage, model_requested=union.model_requested
    )
    score = score_of(
        every, cases, scorer=SCORER, version=VERSION, details=_details(gain, null_gain, k)
    )
    return score.with_null(_confusion(null, cases).balanced_accuracy)


def _details(gain: Gain, null_gain: Gain, k: int) -> dict[str, float]:
    return {
        "senses": float(k),
        "gain": gain.balanced,
        "null_gain": null_gain.balanced,
        "net_gain": gain.balanced - null_gain.balanced,
        "f1_gain": gain.f1,
        "f1_null_gain": null_gain.f1,
        "f1_net_gain": gain.f1 - null_gain.f1,
    }
