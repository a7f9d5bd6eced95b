"""What other tools keep of steering, as a draft: Neuronpedia's presets and steer requests."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.orm import Session

from scopebook.errors import InvalidInputError
from scopebook.neuronpedia_names import NeuronpediaNames
from scopebook.preset_drafts import DraftIntervention, PresetDraft
from scopebook.release_names import FeatureId
from scopebook.steering import LARGEST, Intervention

_WIDEST_INDEX: Final = 9


def is_neuronpedia(document: Mapping[str, Any]) -> bool:
    """Tell whether a document is one of Neuronpedia's: features with a model, a layer, an index."""
    return "schema" not in document and isinstance(document.get("features"), list)


def draft_of_neuronpedia(session: Session, document: Mapping[str, Any]) -> PresetDraft:
    """Return the draft that a preset or a steer request of Neuronpedia's stands for.

    There a strength is a factor on the feature's row of W_dec, times `strength_multiplier`.

    Raises InvalidInputError for features that are none, and for methods that are no addition.
    """
    method = document.get("steer_method") or "SIMPLE_ADDITIVE"
    if method != "SIMPLE_ADDITIVE":
        raise InvalidInputError(
            f"The document steers by {str(method)[:40]}, which is no addition of directions; a "
            "preset takes SIMPLE_ADDITIVE alone."
        )
    factor = _number(document, "strength_multiplier", "The document", default=1.0)
    names = NeuronpediaNames(session)
    return PresetDraft(
        interventions=[_intervention(names, document, one, factor) for one in document["features"]]
    )


def _intervention(
    names: NeuronpediaNames, document: Mapping[str, Any], one: Any, factor: float
) -> DraftIntervention:
    if not isinstance(one, Mapping):
        raise InvalidInputError(
            f"{str(one)[:60]!r} is no feature; give {{modelId, layer, index, strength}}."
        )
    model = one.get("modelId") or document.get("modelId")
    source, index = one.get("layer") or one.get("source"), str(one.get("index"))
    named = isinstance(model, str) and isinstance(source, str)
    if not named or not index.isdecimal() or len(index) > _WIDEST_INDEX:
        raise InvalidInputError(
            f"{str(dict(one))[:120]} names none; give modelId, layer such as 12-res-w32k-l0_50 "
            "and index."
        )
    sae = names.sae(str(model), str(source))
    feature = FeatureId(sae.model, sae.layer, sae.set_name, int(index))
    strength = _number(one, "strength", str(feature))
    intervention = Intervention(feature=str(feature), op="add", value=strength * factor, unit="raw")
    return DraftIntervention(intervention=intervention)


def _number(of: Mapping[str, Any], name: str, which: str, *, default: float | None = None) -> float:
    value = of.get(name, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value or 0) <= LARGEST:
        raise InvalidInputError(f"{which} has {str(value)[:40]!r} as {name}; give a number.")
    return float(value)
