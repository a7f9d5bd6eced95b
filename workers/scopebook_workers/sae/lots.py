"""Numbers as good as random that depend on a text and a feature alone.

They decide what is sampled: the same text gives the same sample on every machine, however the work
was cut. All numbers are int64 and wrap around; torch and the GPU have no unsigned 64 bits.
"""

from typing import Final

from jaxtyping import Int64
from torch import Tensor

_WRAP: Final = 2**64
_GOLDEN: Final = 0x9E3779B97F4A7C15 - _WRAP
_STEPS: Final = ((30, 0xBF58476D1CE4E5B9 - _WRAP), (27, 0x94D049BB133111EB - _WRAP))


def mix(numbers: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Scatter the bits (the finaliser of splitmix64)."""
    mixed = numbers + _GOLDEN
    for shift, factor in _STEPS:
        mixed = (mixed ^ _shifted(mixed, shift)) * factor
    return mixed ^ _shifted(mixed, 31)


def draw_lots(feature: Int64[Tensor, " n"], key: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """Return a number for each feature and text; texts are sampled by the smallest."""
    return mix(mix(key) + feature)


def _shifted(numbers: Int64[Tensor, "*shape"], bits: int) -> Int64[Tensor, "*shape"]:
    """Shift to the right and fill with zeros; `>>` alone would repeat the sign."""
    return (numbers >> bits) & ((1 << (64 - bits)) - 1)
