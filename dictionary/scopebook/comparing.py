"""What differs between two texts, or two sets of texts, in the features that fire in them.

Of two texts the tokens are compared, of two sets the texts: only several texts a side tell whether
a difference would be there in others too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from scopebook.activations import Activations
from scopebook.contrast_statistics import benjamini_hochberg
from scopebook.errors import InvalidInputError
from scopebook.feature_views import FeatureInList
from scopebook.features import features_by_id
from scopebook.fired import Fired, fired_in, saes_of
from scopebook.inspecting import TokenView, tokens_of
from scopebook.measured_contrasts import Floats, Measured, Test, measure, test_of

Side = Literal["a", "b"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)
#: What differs most comes first: the effect, the share of tokens that fire, the mean activation
#: over all tokens, or the largest activation.
Measure = Literal["effect", "rate", "mean", "max"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
#: What is the same on both sides and may be left out: how all texts begin, and tokens of both.
Shared = Literal["prefix", "tokens"]
SHARED: Final[tuple[Shared, ...]] = get_args(Shared)


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What of a comparison somebody wants to see."""

    order: Measure = "effect"
    layers: Sequence[int] | None = None
    #: Dense, position and register features too, and on tokens that a collection leaves out.
    everything: bool = False
    leave_out: Sequence[Shared] = ("prefix",)
    #: Only features that fire more on this side.
    more_in: Side | None = None
    limit: int = 50
    #: Which text of each side is shown, from 0.
    text_a: int = 0
    text_b: int = 0


@dataclass(frozen=True, kw_only=True)
class SideOfFeature:
    """A feature on one side."""

    #: Share of the tokens that fire it.
    rate: float
    #: Mean activation over all tokens, and the largest.
    mean: float
    max: float
    #: Texts in which it fires.
    texts: int
    #: Where it fires in the text that is shown.
    tokens: list[int]
    activations: list[float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A feature and how it differs; what is above 0 is more in b."""

    feature_id: int
    a: SideOfFeature
    b: SideOfFeature
    #: Of two texts: difference of the means in standard deviations of a token's activation
    #: (Cohen's d). Of sets: rank-biserial correlation of the texts' means, -1 to 1.
    effect: float
    #: Two-sided, and the false discovery rate among all features that fire; None for two texts.
    p: float | None
    q: float | None

    @property
    def more_in(self) -> Side:
        """The side on which it fires more."""
        return "b" if self.effect > 0 else "a"


@dataclass(frozen=True, kw_only=True)
class SideView:
    """The text of a side that is shown, and how much of the side was compared."""

    texts: int
    #: Tokens that were compared; where layers have different sinks, those of the first layer.
    compared: int
    text: str
    pieces: list[str]
    tokens: list[TokenView]
    #: For each token whether it was left out as shared.
    left_out: list[bool]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two sides and the features that differ."""

    a: SideView
    b: SideView
    test: Test | None
    differences: list[Difference]
    features: dict[int, FeatureInList]
    firing: int
    hidden: int


def compare(
    session: Session, found: Activations, release_id: int, n_a: int, wanted: Contrast
) -> Comparison:
    """Return how the first `n_a` texts and the others differ.

    Raises InvalidInputError where nothing of a side is left to be compared.
    """
    kept = _kept_tokens(found, n_a, wanted.leave_out)
    fired = fired_in(session, found, release_id, wanted.layers)
    shown = fired if wanted.everything else fired.where(fired.counts & ~fired.quiet)
    counted = {
        sae.id: kept if wanted.everything else kept & found.usable(layer)
        for layer, sae in saes_of(session, release_id, list(wanted.layers or found.layers)).items()
    }
    measured = measure(shown.where(kept[shown.token]), counted, text_of=found.text_of, n_a=n_a)
    q = benjamini_hochberg(measured.p)
    texts = _texts_shown(found, n_a, wanted)
    differences = [
        _difference(found, measured, int(place), q, shown, texts)
        for place in _order(measured, wanted)
    ]
    views = features_by_id(session, [one.feature_id for one in differences])
    firing = len(np.unique(fired.feature))
    a, b = (
        _side(found, text, kept, texts=count, compared=measured.tokens[side])
        for side, (text, count) in enumerate(zip(texts, (n_a, len(found.texts) - n_a), strict=True))
    )
    return Comparison(
        a=a,
        b=b,
        test=test_of(len(found.texts)),
        differences=differences,
        features={view.feature_id: view for view in views},
        firing=firing,
        hidden=firing - len(np.unique(shown.feature)),
    )


def _kept_tokens(found: Activations, n_a: int, leave_out: Sequence[Shared]) -> NDArray[np.bool_]:
    """Return the tokens that are not shared in a way that is left out, (n,)."""
    of_a = found.text_of < n_a
    kept = np.ones(len(found.token_ids), np.bool_)
    if "prefix" in leave_out:
        kept &= found.position >= _prefix(found)
    if "tokens" in leave_out:
        both = np.intersect1d(found.token_ids[of_a], found.token_ids[~of_a])
        kept &= ~np.isin(found.token_ids, both)
    for side, of_side in (("A", of_a), ("B", ~of_a)):
        if not kept[of_side].any():
            shared = " and ".join(_NAMES[one] for one in leave_out)
            raise InvalidInputError(
                f"Nothing of {side} is left without {shared}; compare all of it."
            )
    return kept


_NAMES: Final[dict[str, str]] = {
    "prefix": "how all texts begin",
    "tokens": "the tokens that both sides have",
}


def _prefix(found: Activations) -> int:
    """Return with how many tokens all texts begin; texts that are the same have no such prefix."""
    texts = [found.token_ids[found.tokens_of(text)] for text in range(len(found.texts))]
    shortest = min(len(text) for text in texts)
    same = np.all([text[:shortest] == texts[0][:shortest] for text in texts], axis=0)
    length = shortest if same.all() else int(np.argmin(same))
    return 0 if all(len(text) == length for text in texts) else length


def _texts_shown(found: Activations, n_a: int, wanted: Contrast) -> tuple[int, int]:
    sides = (("A", wanted.text_a, n_a), ("B", wanted.text_b, len(found.texts) - n_a))
    for side, text, n in sides:
        if not 0 <= text < n:
            raise InvalidInputError(f"{side} has the texts 0 to {n - 1}, and no text {text}.")
    return wanted.text_a, n_a + wanted.text_b


def _order(measured: Measured, wanted: Contrast) -> NDArray[np.int64]:
    """Return the features of which most is seen first, `limit` of them."""
    by = {
        "effect": measured.effect,
        "rate": measured.rate[1] - measured.rate[0],
        "mean": measured.mean[1] - measured.mean[0],
        "max": measured.max[1] - measured.max[0],
    }[wanted.order]
    order = np.lexsort((measured.feature, -np.abs(measured.spread), -np.abs(by)))
    if wanted.more_in is not None:
        order = order[(by[order] > 0) if wanted.more_in == "b" else (by[order] < 0)]
    return order[: wanted.limit]


def _difference(
    found: Activations,
    measured: Measured,
    place: int,
    q: Floats,
    shown: Fired,
    texts: tuple[int, int],
) -> Difference:
    feature_id = int(measured.feature[place])
    of_feature = shown.where(shown.feature == feature_id)
    a, b = (
        _side_of_feature(found, measured, place, of_feature, side, text)
        for side, text in enumerate(texts)
    )
    tested = not np.isnan(measured.p[place])
    return Difference(
        feature_id=feature_id,
        a=a,
        b=b,
        effect=float(measured.effect[place]),
        p=float(measured.p[place]) if tested else None,
        q=float(q[place]) if tested else None,
    )


def _side_of_feature(
    found: Activations, measured: Measured, place: int, of_feature: Fired, side: int, text: int
) -> SideOfFeature:
    part = found.tokens_of(text)
    inside = of_feature.where((of_feature.token >= part.start) & (of_feature.token < part.stop))
    return SideOfFeature(
        rate=float(measured.rate[side, place]),
        mean=float(measured.mean[side, place]),
        max=float(measured.max[side, place]),
        texts=int(measured.texts[side, place]),
        tokens=(inside.token - part.start).tolist(),
        activations=[round(float(value), 4) for value in inside.value],
    )


def _side(
    found: Activations, text: int, kept: NDArray[np.bool_], *, texts: int, compared: int
) -> SideView:
    pieces, tokens = tokens_of(found, text)
    return SideView(
        texts=texts,
        compared=compared,
        text=found.texts[text],
        pieces=pieces,
        tokens=tokens,
        left_out=(~kept[found.tokens_of(text)]).tolist(),
    )
