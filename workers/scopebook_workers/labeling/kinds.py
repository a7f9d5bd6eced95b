"""Of which kind a feature is before any wording: of tokens, of positions, or of contexts."""

from collections import defaultdict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.material import Kind

#: So many distinct tokens that make this share of the activation make a feature one of tokens.
TOKENS: Final = 20
TOKEN_MASS: Final = 0.8
#: Bits by which the position tells a firing token from any other, when both are as frequent. The
#: usual bound of 0.05 on the plain mutual information is never reached by a feature that fires on
#: one token of a passage: its whole entropy is less. One that fires in one half only has 0.31.
POSITION_BITS: Final = 0.25
_MIN_FIRINGS: Final = 20


def kind_of(evidence: FeatureEvidence) -> Kind:
    """Return the kind; the position is looked at first, for what stands first is few tokens."""
    if position_bits(evidence) > POSITION_BITS:
        return "position"
    return "token" if token_mass(evidence) >= TOKEN_MASS else "context"


def token_mass(evidence: FeatureEvidence) -> float:
    """Return the share of the activation that the `TOKENS` strongest distinct tokens make.

    The exact shares of the whole feature are taken where the evidence has them.
    """
    if evidence.top_tokens:
        shares = sorted((share for _, share in evidence.top_tokens), reverse=True)
        return float(sum(shares[:TOKENS]))
    mass: dict[str, float] = defaultdict(float)
    for firing in evidence.firings:
        passage = firing.passage
        for position, activation in zip(firing.positions, firing.activations, strict=True):
            token = passage.text[passage.begins[position] : passage.ends[position]]
            mass[token.strip().casefold() or token] += float(activation)
    total = sum(mass.values())
    return sum(sorted(mass.values(), reverse=True)[:TOKENS]) / total if total else 0.0


def position_bits(evidence: FeatureEvidence) -> float:
    """Return the mutual information of firing and position, in bits from 0 to 1.

    Positions are counted by octave (0, 1, 2-3, 4-7, ...), firing tokens against all tokens of
    their passages at equal weight, and what so few would show by chance is taken off.
    """
    if not evidence.firings:
        return 0.0
    fired = np.concatenate([firing.positions for firing in evidence.firings])
    if len(fired) < _MIN_FIRINGS:
        return 0.0
    lengths = [len(firing.passage.begins) for firing in evidence.firings]
    octaves = int(max(lengths)).bit_length() + 1
    own = np.bincount(_octave(fired), minlength=octaves) / len(fired)
    every = np.concatenate([np.arange(length) for length in lengths])
    whole = np.bincount(_octave(every), minlength=octaves) / len(every)
    mixed = (own + whole) / 2
    by_chance = (np.count_nonzero(whole) - 1) / (4 * len(fired) * np.log(2))
    return max(0.0, float((_bits(own, mixed) + _bits(whole, mixed)) / 2 - by_chance))


def _octave(positions: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
    octaves: NDArray[np.int64] = np.frexp(positions.astype(np.float64))[1].astype(np.int64)
    return octaves


def _bits(own: NDArray[np.float64], mixed: NDArray[np.float64]) -> float:
    held = own > 0
    return float((own[held] * np.log2(own[held] / mixed[held])).sum())
