"""Sense resolution: how far to trust the senses of an SAE's features.

Labeling by keywords measures it (`scopebook_workers.labeling.scoring.resolution`) and keeps it in
its parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Where a labeling by keywords keeps it in its parameters.
KEPT_AS: Final = "resolution"
#: What is wanted: of single features at most this share is split ...
MAX_SPLIT_RATE: Final = 0.10
#: ... and two features mixed are told apart at least so well.
MIN_CONFLATED_ARI: Final = 0.80


@dataclass(frozen=True, kw_only=True)
class SenseResolution:
    """How well the senses of an SAE's features can be told apart."""

    #: Share of single features, both halves together, that were cut into several senses. A
    #: feature may really have several: so this bounds the true rate from above.
    split_rate: float
    #: Mean adjusted Rand index with the known halves, of two features mixed.
    conflated_ari: float
    #: Share of the mixtures that were cut into two senses or more.
    parted_rate: float
    n_single: int
    n_pairs: int

    @property
    def coarse(self) -> bool:
        """Whether a figure misses what is wanted, so that senses are a first sorting only."""
        return self.split_rate > MAX_SPLIT_RATE or self.conflated_ari < MIN_CONFLATED_ARI


def resolution_in(parameters: Mapping[str, Any]) -> SenseResolution | None:
    """Return what a labeling has kept; None where it could not tell or did not measure it."""
    kept = parameters.get(KEPT_AS)
    return None if kept is None else SenseResolution(**kept)
