"""What fires in a text that was run, as Neuronpedia tells it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from scopebook.activations import Activations
from scopebook.db.tables import FEATURE_BITS
from scopebook.features import features_by_id
from scopebook.fired import Fired, fired_in
from scopebook.inspecting import tokens_of
from scopebook.interchange.neuronpedia_layout import model_id
from scopebook.neuronpedia_names import NamedSae
from scopebook_api import neuronpedia_live_schemas as theirs
from scopebook_api.neuronpedia_schemas import ShortNeuron
from scopebook_api.neuronpedia_shapes import short_neuron


@dataclass(frozen=True, eq=False)
class _Text:
    """A text in the pieces that are told as its tokens, and what fires on them."""

    pieces: list[str]
    special: list[bool]
    #: Feature, piece and activation; of tokens that split a character the largest counts.
    feature: NDArray[np.int64]
    piece: NDArray[np.int64]
    value: NDArray[np.float32]

    def values_of(self, feature_id: int) -> NDArray[np.float32]:
        """Return a feature's activation on each piece."""
        values = np.zeros(len(self.pieces), np.float32)
        mine = self.feature == feature_id
        np.maximum.at(values, self.piece[mine], self.value[mine])
        return values


def _read(found: Activations, text: int, fired: Fired, *, ignore_first: bool) -> _Text:
    pieces, tokens = tokens_of(found, text)
    part = found.tokens_of(text)
    of_text = fired.where((fired.token >= part.start) & (fired.token < part.stop))
    if ignore_first:
        of_text = of_text.where(of_text.token > part.start)
    piece_of = np.asarray([token.piece for token in tokens])
    special = [False] * len(pieces)
    for token in tokens:
        special[token.piece] |= token.special
    place = piece_of[of_text.token - part.start]
    return _Text(pieces, special, of_text.feature, place, of_text.value)


def _sparse(fired: Fired, threshold: float) -> Fired:
    """Leave out features that fire too often; of one that was not collected nothing is known."""
    return fired if threshold < 0 else fired.where(~(fired.density > threshold))


def search_all(
    session: Session,
    found: Activations,
    release_id: int,
    saes: Sequence[NamedSae],
    wanted: theirs.SearchAllRequest,
) -> theirs.SearchAllAnswer | theirs.SearchAllAnswers:
    """Return the features that fire in each text, by their largest or by the wanted tokens."""
    fired = fired_in(session, found, release_id, [sae.layer for sae in saes])
    fired = _sparse(fired, wanted.density_threshold)
    answers = [
        _found(session, _read(found, text, fired, ignore_first=wanted.ignore_bos), saes, wanted)
        for text in range(len(found.texts))
    ]
    several = isinstance(wanted.text, list)
    return theirs.SearchAllAnswers(results=answers) if several else answers[0]


def _found(
    session: Session, text: _Text, saes: Sequence[NamedSae], wanted: theirs.SearchAllRequest
) -> theirs.SearchAllAnswer:
    looked_at = [place for place in wanted.sort_indexes if place < len(text.pieces)]
    on = np.isin(text.piece, looked_at) if looked_at else np.ones(len(text.piece), np.bool_)
    features, place = np.unique(text.feature[on], return_inverse=True)
    scores = np.zeros(len(features))
    (np.add if looked_at else np.maximum).at(scores, place, text.value[on])
    order = np.lexsort((features, -scores))[: wanted.num_results]
    ids = features[order].tolist()
    neurons = _neurons(session, ids)
    return theirs.SearchAllAnswer(
        tokens=text.pieces,
        result=[
            theirs.FoundFeature(
                **_named(feature_id, saes),
                **_values(text.values_of(feature_id)),
                neuron=neurons.get(feature_id),
            )
            for feature_id in ids
        ],
        sort_indexes=looked_at,
    )


def topk_by_token(
    session: Session,
    found: Activations,
    release_id: int,
    sae: NamedSae,
    wanted: theirs.TopKRequest,
) -> theirs.TopKAnswer:
    """Return each token's strongest features."""
    fired = _sparse(fired_in(session, found, release_id, [sae.layer]), wanted.density_threshold)
    text = _read(found, 0, fired, ignore_first=wanted.ignore_bos)
    order = np.lexsort((text.feature, -text.value, text.piece))
    tops: list[dict[int, float]] = [{} for _ in text.pieces]
    for place in order.tolist():
        top = tops[int(text.piece[place])]
        if len(top) < wanted.num_results:
            top.setdefault(int(text.feature[place]), round(float(text.value[place]), 4))
    neurons = _neurons(session, sorted({feature_id for top in tops for feature_id in top}))
    return theirs.TopKAnswer(
        source=sae.source,
        results=[
            theirs.TopOfToken(
                position=position,
                token=text.pieces[position],
                is_special=text.special[position],
                top_features=[
                    theirs.TopFeature(
                        activation_value=value,
                        feature_index=feature_id & (2**FEATURE_BITS - 1),
                        feature=neurons.get(feature_id),
                    )
                    for feature_id, value in top.items()
                ],
            )
            for position, top in enumerate(tops)
        ],
    )


def new_activation(
    session: Session,
    found: Activations,
    release_id: int,
    sae: NamedSae,
    wanted: theirs.NewActivationRequest,
) -> theirs.NewActivation:
    """Return one feature's activation on each token of a text."""
    fired = fired_in(session, found, release_id, [sae.layer])
    text = _read(found, 0, fired, ignore_first=wanted.ignore_bos)
    values = text.values_of((sae.id << FEATURE_BITS) | wanted.feature.index)
    told = _values(values)
    return theirs.NewActivation(
        model_id=model_id(sae.model),
        layer=sae.source,
        index=str(wanted.feature.index),
        tokens=text.pieces,
        **told,
        max_value_token_index=int(values.argmax()),
        min_value=float(values.min()),
    )


def _values(values: NDArray[np.float32]) -> dict[str, object]:
    return {
        "values": [round(float(value), 4) for value in values],
        "max_value": round(float(values.max()), 4),
        "max_value_index": int(values.argmax()),
    }


def _named(feature_id: int, saes: Sequence[NamedSae]) -> dict[str, str]:
    sae = next(sae for sae in saes if sae.id == feature_id >> FEATURE_BITS)
    index = str(feature_id & (2**FEATURE_BITS - 1))
    return {"model_id": model_id(sae.model), "layer": sae.source, "index": index}


def _neurons(session: Session, ids: Sequence[int]) -> dict[int, ShortNeuron]:
    return {view.feature_id: short_neuron(view) for view in features_by_id(session, ids)}
