"""Figures of yes-or-no answers and of rankings, with their intervals.

Accuracy is not among them: where one window in seven is a positive, a label that fits nothing
reaches 0.86 of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

#: Two-sided 95 %.
Z: Final = 1.959963984540054

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counts of answers; what should be a positive and was said to be none is in `fn`."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of(cls, truth: Sequence[bool], said: Sequence[bool]) -> "Confusion":
        """Count answers against the truth, in the same order."""
        true, says = np.asarray(truth, dtype=bool), np.asarray(said, dtype=bool)
        return cls(
            tp=int((true & says).sum()),
            fp=int((~true & says).sum()),
            tn=int((~true & ~says).sum()),
            fn=int((true & ~says).sum()),
        )

    @property
    def positives(self) -> int:
        """Return how many are positives in truth."""
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        """Return how many are negatives in truth."""
        return self.fp + self.tn

    @property
    def recall(self) -> float:
        """Return the share of the positives that was found; 0 where there are none."""
        return _share(self.tp, self.positives)

    @property
    def specificity(self) -> float:
        """Return the share of the negatives that was left alone; 0 where there are none."""
        return _share(self.tn, self.negatives)

    @property
    def precision(self) -> float:
        """Return the share of the yeses that are right; 0 where nobody said yes."""
        return _share(self.tp, self.tp + self.fp)

    @property
    def accuracy(self) -> float:
        """Return the share of right answers; only to be compared with others' figures."""
        return _share(self.tp + self.tn, self.positives + self.negatives)

    @property
    def balanced_accuracy(self) -> float:
        """Return the mean of recall and specificity: 0.5 for an answer that knows nothing."""
        return (self.recall + self.specificity) / 2

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall; 0 where nothing is right."""
        return _share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def balanced_interval(self) -> Interval:
        """Return the 95 % interval of the balanced accuracy.

        The two Wilson intervals put together as those of a sum (Zou and Donner): with as many
        positives as negatives about as wide as Wilson's of the accuracy, but it stays right when
        the classes differ in size.
        """
        recall = wilson(self.tp, self.positives)
        specificity = wilson(self.tn, self.negatives)
        down = sqrt((self.recall - recall[0]) ** 2 + (self.specificity - specificity[0]) ** 2) / 2
        up = sqrt((recall[1] - self.recall) ** 2 + (specificity[1] - self.specificity) ** 2) / 2
        value = self.balanced_accuracy
        return max(0.0, value - down), min(1.0, value + up)

    def f1_interval(self) -> Interval:
        """Return the 95 % interval of F1: Wilson's of tp / (tp + fp + fn), of which F1 is a curve.

        F1 is 2j / (1 + j) of that share j, and rises with it, so the ends can be carried over.
        """
        low, high = wilson(self.tp, self.tp + self.fp + self.fn)
        return 2 * low / (1 + low), 2 * high / (1 + high)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def wilson(successes: float, n: int) -> Interval:
    """Return Wilson's 95 % interval of a share; (0, 1) where nothing was counted.

    `successes` may be a fraction, as an average precision times the positives is.
    """
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def auprc(truth: NDArray[np.bool_], values: NDArray[np.floating]) -> float:
    """Return the average precision of a ranking; by chance it is the share of positives."""
    return float(average_precision_score(truth, values)) if truth.any() else 0.0


def auroc(truth: NDArray[np.bool_], values: NDArray[np.floating]) -> float:
    """Return the share of pairs in the right order, ties by half; 0.5 without any pair."""
    if truth.all() or not truth.any():
        return 0.5
    return float(roc_auc_score(truth, values))


def pearson(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the correlation; 0 where one of them does not vary."""
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def kappa(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return Cohen's agreement of two series of answers beyond chance; 1 where all are equal."""
    same = float((first == second).mean())
    p, q = float(first.mean()), float(second.mean())
    chance = p * q + (1 - p) * (1 - q)
    return (same - chance) / (1 - chance) if chance < 1 else 1.0
