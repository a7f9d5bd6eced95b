"""What a collection keeps of every feature: statistics, best contexts, a sample, top tokens.

States of different contexts merge, and the result does not depend on how the contexts were cut
or in which order they came: the best are the first by (activation, context), the sample are the
first by a number drawn from feature and text, and so are the firings for the top tokens. Memory
depends on the number of features alone.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from scopebook_workers.sae.candidates import (
    Candidates,
    Entering,
    Limits,
    best_and_sample,
    entering,
)
from scopebook_workers.sae.encode import Active
from scopebook_workers.sae.firings import Batch, Firings, Groups, firings_of, group_firings
from scopebook_workers.sae.host_copies import HostCopies
from scopebook_workers.sae.lots import draw_lots
from scopebook_workers.sae.statistics import Statistics
from scopebook_workers.sae.token_draws import TokenDraws, draw_priorities, send_draws

#: Entries that wait beside the kept ones before the next selection, at least.
_POOL: Final = 100_000
_LAST: Final = torch.iinfo(torch.int64).max


class FeatureState:
    """The state of every feature of one SAE."""

    def __init__(
        self,
        statistics: Statistics,
        limits: Limits,
        kept: Candidates | None = None,
        draws: TokenDraws | None = None,
    ) -> None:
        self.statistics = statistics
        self.limits = limits
        self._kept = [Candidates.none() if kept is None else kept]
        self._draws = [TokenDraws.none() if draws is None else draws]
        #: Candidates and draws of the last batch, on their way.
        self._arriving: tuple[Entering, HostCopies] | None = None
        d_sae, device = len(statistics.total), statistics.total.device
        # What an entry must reach to be among the best, must not exceed for the sample, and must
        # reach to be drawn. An old bound lets more in than a new one would, never less.
        self._least = torch.zeros(d_sae, device=device)
        self._last_lot = torch.full((d_sae,), _LAST, device=device)
        self._least_priority = torch.zeros(d_sae, dtype=torch.int64, device=device)

    @classmethod
    def empty(
        cls,
        d_sae: int,
        *,
        tags: int = 0,
        limits: Limits | None = None,
        device: torch.device | str = "cpu",
    ) -> "FeatureState":
        """Return the state before any context."""
        return cls(Statistics.empty(d_sae, tags, device), limits or Limits())

    def update(
        self,
        batch: Batch,
        active: Active,
        *,
        usable: Bool[Tensor, " token"],
        sinks: Bool[Tensor, " token"],
    ) -> None:
        """Take in a batch of contexts that were not taken in yet.

        Args:
            batch: The contexts and their tokens.
            active: What fires on the tokens, masked ones too.
            usable: Which tokens count.
            sinks: Which tokens are activation sinks.
        """
        self.settle()
        firings = firings_of(batch, active, usable)
        groups = group_firings(firings, len(batch.ids))
        self.statistics.add(batch, firings, groups, usable=usable, sinks=sinks)
        self.statistics.add_masked(active, usable)
        priority = draw_priorities(firings)
        enters = priority >= self._least_priority[firings.feature]
        self._arriving = (
            self._entering(batch, firings, groups),
            send_draws(firings, priority, enters),
        )

    def settle(self) -> None:
        """Take in what the last update has sent to the host.

        Called by whatever needs it. Called once the model works on the next batch, a GPU does not
        stand still meanwhile.
        """
        if self._arriving is None:
            return
        (groups, draws), self._arriving = self._arriving, None
        self._add_candidates(groups.candidates())
        self._add_draws(TokenDraws(**draws.arrays()))

    def _entering(self, batch: Batch, firings: Firings, groups: Groups) -> Entering:
        lots = draw_lots(groups.feature, batch.keys[groups.context])
        enters = (groups.activation >= self._least[groups.feature]) | (
            lots <= self._last_lot[groups.feature]
        )
        return entering(batch, firings, groups, lots, enters, self.limits)

    def merge(self, other: "FeatureState") -> None:
        """Take in the state of other contexts."""
        self.statistics.merge(other.statistics)
        self._add_candidates(other.candidates())
        self._add_draws(other.draws())

    def candidates(self) -> Candidates:
        """Return what is kept, ordered by feature and context."""
        self.settle()
        if len(self._kept) > 1:
            self._select_candidates()
        return self._kept[0]

    def draws(self) -> TokenDraws:
        """Return the firings that tell the top tokens, ordered by feature and priority."""
        self.settle()
        if len(self._draws) > 1:
            self._select_draws()
        return self._draws[0]

    @property
    def nbytes(self) -> tuple[int, int]:
        """The bytes of the kept candidates, and of the drawn firings."""
        return self.candidates().nbytes, self.draws().nbytes

    def _add_candidates(self, candidates: Candidates) -> None:
        self._kept.append(candidates)
        if _is_due(self._kept):
            self._select_candidates()

    def _add_draws(self, draws: TokenDraws) -> None:
        self._draws.append(draws)
        if _is_due(self._draws):
            self._select_draws()

    def _select_candidates(self) -> None:
        joined = Candidates.joined(self._kept)
        best, sample = best_and_sample(joined, self.limits)
        self._tighten(joined, best, sample)
        chosen = np.flatnonzero(best | sample)
        order = np.lexsort((joined.context[chosen], joined.feature[chosen]))
        self._kept = [joined.take(chosen[order])]

    def _tighten(
        self, joined: Candidates, best: Bool[np.ndarray, " n"], sample: Bool[np.ndarray, " n"]
    ) -> None:
        """Note the last of each full list, so that what comes after it is dropped at once."""
        d_sae = len(self._least)
        feature = joined.feature[best]
        least = np.full(d_sae, np.inf, dtype=np.float32)
        np.minimum.at(least, feature, joined.activation[best])
        least[np.bincount(feature, minlength=d_sae) < self.limits.best] = 0
        feature = joined.feature[sample]
        last = np.full(d_sae, np.iinfo(np.int64).min)
        np.maximum.at(last, feature, joined.lot[sample])
        last[np.bincount(feature, minlength=d_sae) < self.limits.sample] = _LAST
        self._least.copy_(torch.from_numpy(least))
        self._last_lot.copy_(torch.from_numpy(last))

    def _select_draws(self) -> None:
        draws = TokenDraws.joined(self._draws).highest(self.limits.draws)
        self._draws = [draws]
        d_sae = len(self._least_priority)
        least = np.full(d_sae, _LAST)
        np.minimum.at(least, draws.feature, draws.priority)
        least[np.bincount(draws.feature, minlength=d_sae) <= self.limits.draws] = 0
        self._least_priority.copy_(torch.from_numpy(least))

    def arrays(self) -> dict[str, Any]:
        """Return everything as named arrays, the same for the same contexts."""
        kept, draws = self.candidates(), self.draws()
        named = {f"kept.{field.name}": getattr(kept, field.name) for field in fields(kept)}
        named |= {f"draws.{field.name}": getattr(draws, field.name) for field in fields(draws)}
        return named | self.statistics.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, limits: Limits) -> "FeatureState":
        """Return what `arrays` was taken from, on the CPU."""
        kept = Candidates(*(arrays[f"kept.{field.name}"] for field in fields(Candidates)))
        draws = TokenDraws(*(arrays[f"draws.{field.name}"] for field in fields(TokenDraws)))
        return cls(Statistics.from_arrays(arrays), limits, kept, draws)


def _is_due(parts: list[Candidates] | list[TokenDraws]) -> bool:
    """Return whether so much waits that a selection pays."""
    return sum(map(len, parts[1:])) > max(_POOL, len(parts[0]))


__all__ = ["FeatureState", "Limits"]
