"""What fires in a text, as people look at it: its tokens, and its features in order of interest."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

import numpy as np
from sqlalchemy.orm import Session

from scopebook.activations import Activations
from scopebook.examples import cut_into_pieces
from scopebook.feature_views import FeatureInList
from scopebook.features import features_by_id
from scopebook.fired import Fired, fired_in
from scopebook.glyphs import widen_to_glyphs

#: How features are put in order: by how strongly they fire at their strongest, or over the whole
#: text, by how much more strongly than is usual for them, or by how seldom they do.
Order = Literal["activation", "total", "surprise", "rarity"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """A token of the text, as it is shown."""

    token_id: int
    #: The piece of text it belongs to: tokens that share a character share a piece.
    piece: int
    #: First and last (exclusive) character in the text, widened to what is seen as one.
    start: int
    end: int
    special: bool
    #: The model has written it.
    written: bool
    #: Layers in which it is an activation sink.
    sinks: list[int]


@dataclass(frozen=True, kw_only=True)
class Firing:
    """A feature in the text."""

    feature_id: int
    #: Its largest activation among the tokens that count, and that token.
    max: float
    peak: int
    mean: float
    count: int
    #: `max` in units of what 99 % of its activations on the corpus stay below; None: not known.
    surprise: float | None
    #: Tokens on which it fires, and how strongly.
    tokens: list[int]
    activations: list[float]


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A text, its features, and who is on each token."""

    text: str
    pieces: list[str]
    tokens: list[TokenView]
    firings: list[Firing]
    #: For each token the strongest features: row id and activation.
    per_token: list[list[tuple[int, float]]]
    #: Everything about the features that are named above.
    features: dict[int, FeatureInList]
    #: Features that fire, and of these the ones that are hidden.
    firing: int
    hidden: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """What of the activations somebody wants to see."""

    order: Order = "activation"
    layers: Sequence[int] | None = None
    #: Dense, position and register features too, and on tokens that a collection leaves out.
    everything: bool = False
    limit: int = 50
    per_token: int = 5
    #: Features wanted by their row ids, whatever their place in the order.
    only: Sequence[int] | None = None


def inspect(session: Session, found: Activations, release_id: int, look: Look) -> Inspection:
    """Return what to show of the first of the texts."""
    fired = fired_in(session, found, release_id, look.layers)
    shown = fired if look.everything else fired.where(fired.counts & ~fired.quiet)
    ranked = _rank(shown, look)
    n_tokens = len(found.token_ids)
    per_token = _strongest(shown, n_tokens, look.per_token)
    named = {firing.feature_id for firing in ranked}.union(
        *({feature_id for feature_id, _ in of_token} for of_token in per_token)
    )
    views = features_by_id(session, sorted(named))
    firing = len(np.unique(fired.feature))
    pieces, tokens = tokens_of(found, 0)
    return Inspection(
        text=found.texts[0],
        pieces=pieces,
        tokens=tokens,
        firings=ranked,
        per_token=per_token,
        features={view.feature_id: view for view in views},
        firing=firing,
        hidden=firing - len(np.unique(shown.feature)),
    )


def _rank(fired: Fired, look: Look) -> list[Firing]:
    """Return the features in the order that was asked for, the first `limit` of them."""
    if not len(fired.feature):
        return []
    order = np.lexsort((fired.token, -fired.value, fired.feature))
    by_feature = fired.where(order)
    _, heads, counts = np.unique(by_feature.feature, return_index=True, return_counts=True)
    strongest = by_feature.where(heads)
    surprise = strongest.value / strongest.usual
    keys = {
        "activation": strongest.value,
        "total": np.add.reduceat(by_feature.value, heads),
        "surprise": np.nan_to_num(surprise, nan=-1.0),
        "rarity": -np.nan_to_num(strongest.density, nan=2.0),
    }
    chosen = np.lexsort((strongest.feature, -strongest.value, -keys[look.order]))
    if look.only is not None:
        chosen = chosen[np.isin(strongest.feature[chosen], list(look.only))]
    return [
        _firing(by_feature, int(heads[i]), int(counts[i]), float(surprise[i]))
        for i in chosen[: look.limit]
    ]


def _firing(fired: Fired, head: int, count: int, surprise: float) -> Firing:
    part = slice(head, head + count)
    tokens, values = fired.token[part], fired.value[part]
    in_order = np.argsort(tokens)
    return Firing(
        feature_id=int(fired.feature[head]),
        max=float(values[0]),
        peak=int(tokens[0]),
        mean=float(values.mean()),
        count=count,
        surprise=None if np.isnan(surprise) else surprise,
        tokens=tokens[in_order].tolist(),
        activations=[round(float(value), 4) for value in values[in_order]],
    )


def _strongest(fired: Fired, n_tokens: int, most: int) -> list[list[tuple[int, float]]]:
    """Return for each token its strongest features."""
    order = np.lexsort((fired.feature, -fired.value, fired.token))
    by_token = fired.where(order)
    borders = np.searchsorted(by_token.token, np.arange(n_tokens + 1))
    found = []
    for start, end in pairwise(borders):
        part = slice(start, min(end, start + most))
        features, values = by_token.feature[part].tolist(), by_token.value[part].tolist()
        found.append([(one, round(value, 4)) for one, value in zip(features, values, strict=True)])
    return found


def tokens_of(found: Activations, text: int) -> tuple[list[str], list[TokenView]]:
    """Return one of the texts cut into pieces that can be shown, and its tokens."""
    part = found.tokens_of(text)
    spans = widen_to_glyphs(found.texts[text], found.spans[part])
    pieces, piece_of = cut_into_pieces(found.texts[text], spans, np.zeros(len(spans), np.float32))
    first_written = len(spans) - found.written[text]
    sinks = {layer: of_layer.sinks[part] for layer, of_layer in found.layers.items()}
    tokens = [
        TokenView(
            token_id=int(found.token_ids[part][place]),
            piece=piece_of[place],
            start=int(spans[place, 0]),
            end=int(spans[place, 1]),
            special=bool(found.special[part][place]),
            written=place >= first_written,
            sinks=[layer for layer, of_layer in sinks.items() if of_layer[place]],
        )
        for place in range(len(spans))
    ]
    return [piece.text for piece in pieces], tokens
