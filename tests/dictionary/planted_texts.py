"""Texts whose activations are written by hand: each row says which feature fires on which token."""

from collections.abc import Mapping, Sequence

import numpy as np

from scopebook.activations import Activations, LayerActivations

#: Token (among those of all texts), feature, activation.
Firing = tuple[int, int, float]


def planted(
    texts: Sequence[Sequence[str]],
    layers: Mapping[int, Sequence[Firing]],
    *,
    sinks: Mapping[int, Sequence[int]] | None = None,
    written: Sequence[int] | None = None,
) -> Activations:
    """Return texts that are given as tokens, with what fires in each layer."""
    tokens = [token for text in texts for token in text]
    ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    spans = []
    for text in texts:
        ends = np.cumsum([len(token) for token in text])
        spans += [(int(end) - len(token), int(end)) for end, token in zip(ends, text, strict=True)]
    return Activations(
        texts=["".join(text) for text in texts],
        starts=np.cumsum([0, *map(len, texts)]),
        written=written or [0] * len(texts),
        token_ids=np.asarray([ids[token] for token in tokens], np.int32),
        spans=np.asarray(spans, np.int32),
        special=np.zeros(len(tokens), np.bool_),
        layers={
            layer: _layer(sorted(firings), len(tokens), (sinks or {}).get(layer, ()))
            for layer, firings in layers.items()
        },
    )


def _layer(firings: Sequence[Firing], n: int, sinks: Sequence[int]) -> LayerActivations:
    columns = list(zip(*firings, strict=True)) or [(), (), ()]
    is_sink = np.zeros(n, np.bool_)
    is_sink[list(sinks)] = True
    return LayerActivations(
        token=np.asarray(columns[0], np.int32),
        feature=np.asarray(columns[1], np.int32),
        value=np.asarray(columns[2], np.float32),
        sinks=is_sink,
    )
