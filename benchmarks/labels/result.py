"""What a tier of the benchmark gives back: figures, and what they must reach."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A figure and what it must reach; or ought to, where it is a target (`must` is false)."""

    name: str
    value: float
    bound: float
    at_least: bool = True
    must: bool = True

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side of its bound; a figure that is none is not."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True, kw_only=True)
class TierResult:
    """What a tier measured."""

    tier: str
    title: str
    gates: Sequence[Gate]
    seconds: float
    notes: Sequence[str] = ()
