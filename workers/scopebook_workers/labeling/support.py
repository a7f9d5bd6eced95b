"""The support check: a label must fit its own unseen examples better than other features'."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

#: Below this area under the curve a label is suspect.
LEAST: Final = 0.60
#: With fewer unseen examples nothing can be said.
FEWEST: Final = 5
_CONFIDENCE: Final = 0.95

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Support:
    """How much better a label fits its own windows: area under the curve, with its interval.

    `value` is the chance that one of the feature's windows is nearer to the label than one of
    other features'; 0.5 if the label says nothing. `holds` is None where too few windows are left.
    """

    value: float
    low: float
    high: float
    n_own: int
    n_foreign: int

    @property
    def holds(self) -> bool | None:
        """Whether the label is supported."""
        return None if self.n_own < FEWEST else self.value >= LEAST


def support_of(label: NDArray[np.float32], own: Vectors, foreign: Vectors) -> Support:
    """Compare a label's unit vector with those of windows (window, dimension).

    The interval is DeLong's.
    """
    value, error = area(own @ label, foreign @ label)
    reach = float(norm.ppf((1 + _CONFIDENCE) / 2)) * error
    return Support(
        value=value,
        low=max(0.0, value - reach),
        high=min(1.0, value + reach),
        n_own=len(own),
        n_foreign=len(foreign),
    )


def area(own: NDArray[np.floating], foreign: NDArray[np.floating]) -> tuple[float, float]:
    """Return the area under the ROC curve and its standard error (DeLong and others, 1988).

    Ties count half. Without windows on one side it is 0.5 with an error of 0.5.
    """
    m, n = len(own), len(foreign)
    if not m or not n:
        return 0.5, 0.5
    ranks = rankdata(np.concatenate([own, foreign]))
    above = (ranks[:m] - rankdata(own)) / n  # share of the foreign ones below each own one
    below = 1 - (ranks[m:] - rankdata(foreign)) / m
    value = float(above.mean())
    variance = sum(
        float(parts.var(ddof=1)) / len(parts) if len(parts) > 1 else 0.25
        for parts in (above, below)
    )
    return value, float(np.sqrt(variance))
