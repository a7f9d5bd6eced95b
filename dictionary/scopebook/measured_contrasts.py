"""How often and how strongly features fire on two sides, and what both together say."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from scopebook.contrast_statistics import EXACT_UP_TO, mann_whitney
from scopebook.db.tables import FEATURE_BITS
from scopebook.errors import InvalidInputError
from scopebook.fired import Fired

Test = Literal["permutation", "mann-whitney"]
Floats = NDArray[np.float64]
_Sides = tuple[slice, slice]
#: A spread below this share of the mean is none.
_NO_SPREAD: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of f features, of side a and side b; what is above 0 is more in b."""

    feature: NDArray[np.int64]  # (f,)
    #: Share of the tokens that fire it, mean activation over all tokens, largest activation.
    rate: Floats  # (2, f)
    mean: Floats
    max: Floats
    #: Texts in which it fires.
    texts: NDArray[np.int64]  # (2, f)
    #: Difference of the means in standard deviations of a token's activation: Cohen's d.
    spread: Floats  # (f,)
    #: `spread` for two texts; for more, the rank-biserial correlation of the texts' means.
    effect: Floats
    #: Two-sided; NaN for two texts.
    p: Floats
    #: Tokens of each side that were compared, in the first layer.
    tokens: tuple[int, int]


def test_of(texts: int) -> Test | None:
    """Return which test so many texts, of both sides together, allow."""
    if texts <= 2:
        return None
    return "permutation" if texts <= EXACT_UP_TO else "mann-whitney"


def measure(
    fired: Fired,
    counted: Mapping[int, NDArray[np.bool_]],
    *,
    text_of: NDArray[np.int64],
    n_a: int,
) -> Measured:
    """Return the figures of all features that fire.

    Args:
        fired: What is compared.
        counted: By SAE, the tokens that are compared in its layer, (n,).
        text_of: The text of each token, (n,).
        n_a: Texts of side a; the others are side b's.

    Raises:
        InvalidInputError: No token of a side is compared.
    """
    texts = int(text_of[-1]) + 1
    parts = [
        _of_layer(
            fired.where(fired.feature >> FEATURE_BITS == sae_id),
            np.bincount(text_of[tokens], minlength=texts),
            text_of=text_of,
            n_a=n_a,
        )
        for sae_id, tokens in counted.items()
    ]
    arrays = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=-1)
        for field in fields(Measured)
        if field.name != "tokens"
    }
    return Measured(**arrays, tokens=parts[0].tokens)


def _of_layer(
    fired: Fired, tokens: NDArray[np.int64], *, text_of: NDArray[np.int64], n_a: int
) -> Measured:
    """Return the figures of one layer; `tokens` are those of each text that are compared."""
    sides = (slice(0, n_a), slice(n_a, None))
    size = _sizes(tokens, sides)
    features, place = np.unique(fired.feature, return_inverse=True)
    shape = (len(tokens), len(features))
    cell = text_of[fired.token] * len(features) + place
    value = fired.value.astype(np.float64)
    hits, sums, squares = (
        np.bincount(cell, weights=weights, minlength=shape[0] * shape[1])
        .reshape(shape)
        .astype(np.float64)
        for weights in (None, value, value**2)
    )
    largest = np.zeros(shape)
    np.maximum.at(largest.ravel(), cell, value)
    mean = _by_side(sums, sides) / size
    variance = np.maximum(_by_side(squares, sides) / size - mean**2, 0.0)
    spread = _standardised(mean, variance, size)
    untested = np.full(shape[1], np.nan)
    effect, p = _tested(sums, tokens, sides) if shape[0] > 2 else (spread, untested)
    return Measured(
        feature=features,
        rate=_by_side(hits, sides) / size,
        mean=mean,
        max=np.stack([largest[side].max(axis=0) for side in sides]),
        texts=np.stack([(hits[side] > 0).sum(axis=0) for side in sides]),
        spread=spread,
        effect=effect,
        p=p,
        tokens=(int(size[0, 0]), int(size[1, 0])),
    )


def _sizes(tokens: NDArray[np.int64], sides: _Sides) -> Floats:
    """Return how many tokens of each side are compared, (2, 1)."""
    found = np.asarray([[tokens[side].sum()] for side in sides], np.float64)
    for name, size in zip("AB", found[:, 0], strict=True):
        if not size:
            raise InvalidInputError(
                f"No token of {name} can be compared: the first of a text and activation sinks are "
                "left out; give longer texts."
            )
    return found


def _by_side(of_texts: NDArray[np.generic], sides: _Sides) -> Floats:
    return np.stack([of_texts[side].sum(axis=0) for side in sides]).astype(np.float64)


def _standardised(mean: Floats, variance: Floats, size: Floats) -> Floats:
    """Return Cohen's d of each feature; (f,)."""
    pooled = np.sqrt((variance * size).sum(axis=0) / size.sum())
    least = _NO_SPREAD * np.abs(mean).max(axis=0, initial=0.0) + np.finfo(np.float64).tiny
    found: Floats = (mean[1] - mean[0]) / np.maximum(pooled, least)
    return found


def _tested(sums: Floats, tokens: NDArray[np.int64], sides: _Sides) -> tuple[Floats, Floats]:
    """Compare the mean activations of whole texts; one without compared tokens is left out."""
    there = tokens > 0
    means = sums / np.maximum(tokens, 1)[:, None]
    a, b = (means[side][there[side]] for side in sides)
    test = mann_whitney(a, b)
    return -test.effect, test.p
