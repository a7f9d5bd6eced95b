"""A request to steer, under way: written side by side, then measured by the unsteered model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from scopebook import jobs, meters
from scopebook.errors import InvalidInputError
from scopebook.inference_queue import Asked
from scopebook.neutral_texts import (
    keep_norms,
    known_norms,
    neutral_texts,
    shown_tokenisations,
)
from scopebook.steering import Positions, Resolved, read_resolved
from scopebook_workers.inference import works
from scopebook_workers.inference.norms import measure_norms
from scopebook_workers.inference.residents import Resident, Residents
from scopebook_workers.inference.steered import (
    Measuring,
    SteeredWriting,
    Variant,
    distinct_share,
)
from scopebook_workers.inference.works import Weights, Work
from scopebook_workers.inference.writing import Sampling, show
from scopebook_workers.sae.edits import Edit, LayerEdits
from scopebook_workers.sae.weights import SparseAutoencoder

#: Tokens of all variants' prompts, which the model reads in one pass.
MOST_READ: Final = 8_192


@dataclass(frozen=True)
class SteerWeights(Weights):
    """Weights, and texts to measure on: of the collection that the dictionary shows."""

    #: Of the lowest layer that was collected; by tokenisation, of all.
    neutral: Sequence[NDArray[np.int32]] = ()
    texts: Mapping[int, Sequence[NDArray[np.int32]]] = field(default_factory=dict)
    #: By layer, what the dictionary shows; a layer that was not collected is left out.
    tokenisations: Mapping[int, int] = field(default_factory=dict)
    #: By layer, where it was measured before.
    norms: Mapping[int, float] = field(default_factory=dict)


def read_weights(session: Session, asked: Asked) -> SteerWeights:
    """Return the weights that a request needs, and texts of the corpus."""
    found = works.read_weights(session, asked)
    layers = asked.parameters["layers"]
    shown = shown_tokenisations(session, asked.release_id, layers)
    texts = {one: neutral_texts(session, one) for one in dict.fromkeys(shown.values())}
    return SteerWeights(
        found.model_path,
        found.artifacts,
        neutral=next(iter(texts.values()), ()),
        texts=texts,
        tokenisations=shown,
        norms=known_norms(session, model_id=asked.model_id, tokenisations=shown),
    )


@dataclass(eq=False)
class SteerWork(Work):
    """Variants of one text, of which the first is unsteered."""

    variants: list[Variant] = field(default_factory=list)
    resolved: list[Resolved] = field(default_factory=list)
    neutral: Sequence[NDArray[np.int32]] = ()
    #: Of each layer: the mean norm of the residual on the neutral texts.
    norms: Mapping[int, float] = field(default_factory=dict)
    tokenisations: Mapping[int, int] = field(default_factory=dict)
    _told: list[dict[str, Any]] = field(default_factory=list)
    _moved: list[float | None] = field(default_factory=list)

    def write(self) -> None:
        """Write one more token of each variant; when all have ended, measure on one more text.

        Then the whole texts are run.
        """
        assert isinstance(self.writing, SteeredWriting | Measuring)
        if not self.writing.ended:
            self.writing.step()
            if isinstance(self.writing, SteeredWriting):
                meters.count("tokens_written", self.writing.variants, kind=jobs.INFER)
        if not self.writing.ended:
            return
        if isinstance(self.writing, SteeredWriting):
            self._told = [self._written(row) for row in self.writing.written]
            self.prompts = self.writing.whole()
            self.writing = self._measuring(self.writing)
        else:
            self._moved = self.writing.found
            self.writing = None

    def _measuring(self, written: SteeredWriting) -> Measuring:
        layers = [
            {layer: LayerEdits(self.saes[layer], [edits]) for layer, edits in of.edits.items()}
            for of in self.variants
            if of.edits
        ]
        return Measuring(written, layers, self.neutral)

    def _written(self, row: Sequence[Any]) -> dict[str, Any]:
        texts = show(self.resident, [one.id for one in row], ended=True)
        return {
            "tokens": [
                {
                    "text": text,
                    "probability": one.probability,
                    "alternatives": [
                        [show(self.resident, [token], ended=True)[0], probability]
                        for token, probability in one.alternatives
                    ],
                }
                for text, one in zip(texts, row, strict=True)
            ],
            "distinct": distinct_share([one.id for one in row]),
        }

    def answer(self) -> bytes:
        """Return what was written and measured, as JSON."""
        strengths = self.asked.parameters["strengths"]
        kinds: list[tuple[str, Any, float | None]] = [("unsteered", None, None)]
        kinds += [
            ("steered", strength, far) for strength, far in zip(strengths, self._moved, strict=True)
        ]
        kinds += [("asked", None, None)] * (len(self.variants) - len(kinds))
        variants = [
            {
                "kind": kind,
                "strength": strength,
                "divergence": far,
                "text": prompt.text,
                "begun": len(variant.prompt.text),
                "means": [self._mean(place, one) for one in self.resolved],
                **told,
            }
            for place, ((kind, strength, far), variant, prompt, told) in enumerate(
                zip(kinds, self.variants, self.prompts, self._told, strict=True)
            )
        ]
        found = {
            "variants": variants,
            "interventions": [self._intervention(one) for one in self.resolved],
            "norms": {str(layer): norm for layer, norm in self.norms.items()},
            "neutral_tokens": sum(map(len, self.neutral)),
        }
        return json.dumps(found).encode()

    def keep(self, session: Session) -> None:
        """Keep the norms that were measured: presets give strengths in them, too."""
        keep_norms(
            session,
            model_id=self.asked.model_id,
            tokenisations=self.tokenisations,
            norms=self.norms,
        )

    def _mean(self, place: int, one: Resolved) -> float:
        """Return a feature's mean activation over what a variant has written."""
        begun = len(self.variants[place].prompt.token_ids)
        written = len(self._told[place]["tokens"])
        layer = self.rows[place][one.layer]
        ours = (layer.feature == one.index) & (layer.token >= begun)
        return float(layer.value[ours].sum()) / written

    def _intervention(self, one: Resolved) -> dict[str, Any]:
        """Return an intervention in absolute numbers, at a strength of 1."""
        sae, norm = self.saes[one.layer], self.norms.get(one.layer)
        edit = _edit(one, sae, norm)
        added = abs(edit.value * edit.strength) * _length(sae, one)
        share = added / norm if norm and one.op == "add" else None
        return {"feature": one.feature, "op": one.op, "value": edit.value, "share_of_norm": share}


def begin_work(residents: Residents, asked: Asked, weights: SteerWeights) -> SteerWork:
    """Return a request with its model loaded and its variants ready to be written.

    Raises InvalidInputError for texts that are too long, and for strengths that take the norm of a
    residual that nothing was collected of.
    """
    resident = residents.model(weights.model_path)
    parameters = asked.parameters
    prompt, *others = works.prompts_of(resident, parameters)
    resolved = read_resolved(parameters)
    norms = _norms(resident, weights)
    if not norms and (of_norm := [one.feature for one in resolved if one.of_norm]):
        raise InvalidInputError(
            f"The strength of {of_norm[0]} is a share of the residual's norm, which is measured on "
            "texts of a collection, and none was made here; give it in raw or max_act."
        )
    saes = residents.saes(weights.artifacts)
    variants = [
        Variant(prompt=prompt),
        *(
            Variant(prompt=prompt, edits=_edits(resolved, saes, norms, strength))
            for strength in parameters["strengths"]
        ),
        *(Variant(prompt=other) for other in others),
    ]
    if (tokens := sum(len(variant.prompt.token_ids) for variant in variants)) > MOST_READ:
        raise InvalidInputError(
            f"The text is read {len(variants)} times, {tokens:,} tokens in all, and {MOST_READ:,} "
            "are read at once; shorten it, or give fewer strengths."
        )
    writing = SteeredWriting(
        resident,
        saes,
        variants,
        positions=Positions(**parameters["positions"]),
        sampling=Sampling(**parameters["continue"]),
    )
    return SteerWork(
        asked,
        resident,
        saes,
        [prompt],
        writing,
        variants=variants,
        resolved=resolved,
        neutral=weights.neutral,
        norms=norms,
        tokenisations=weights.tokenisations,
    )


def _edits(
    resolved: Sequence[Resolved],
    saes: Mapping[int, SparseAutoencoder],
    norms: Mapping[int, float],
    strength: float,
) -> dict[int, list[Edit]]:
    edits: dict[int, list[Edit]] = {}
    for one in resolved:
        edit = _edit(one, saes[one.layer], norms.get(one.layer), strength)
        edits.setdefault(one.layer, []).append(edit)
    return edits


def _edit(one: Resolved, sae: SparseAutoencoder, norm: float | None, strength: float = 1.0) -> Edit:
    value = one.value
    if one.of_norm:
        assert norm is not None  # looked at before anything is written
        value *= norm / _length(sae, one)
    return Edit(one.index, one.op, value, strength * one.strength)


def _length(sae: SparseAutoencoder, one: Resolved) -> float:
    """Return the length of a feature's direction."""
    return float(sae.w_dec[one.index].double().norm())


def _norms(resident: Resident, weights: SteerWeights) -> dict[int, float]:
    """Return the mean norm of each layer's residual on its own neutral texts, measured once."""
    found = dict(weights.norms)
    for corpus, texts in weights.texts.items():
        of_corpus = [layer for layer, one in weights.tokenisations.items() if one == corpus]
        unknown = [layer for layer in of_corpus if layer not in found]
        if unknown and texts:
            found |= measure_norms(resident.model, unknown, texts)
    return found
