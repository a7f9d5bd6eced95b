"""Take `preset.json` back in: for the very SAEs that it names, with the strengths that it pins."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.tables import Model, Release, Sae
from scopebook.errors import InvalidInputError
from scopebook.preset_documents import AMOUNT, Document, check_unchanged, draft_of, pin
from scopebook.preset_drafts import PresetDraft
from scopebook.preset_reading import read_document
from scopebook.preset_strangers import draft_of_neuronpedia, is_neuronpedia
from scopebook.preset_views import Audience, PresetView
from scopebook.presets import add_preset, create_preset
from scopebook.release_names import FeatureId, parse_feature_id


def import_document(
    session: Session,
    actor: Actor,
    document: Mapping[str, Any],
    *,
    name: str | None = None,
    visible_to: Audience = "viewer",
) -> PresetView:
    """Make a preset of a `preset.json`, or of what Neuronpedia keeps of steering.

    Raises InvalidInputError for one that is none, that names SAEs which are not here or are others,
    and for numbers that are none.
    """
    if is_neuronpedia(document):
        called = name or str(document.get("name") or "")
        draft = draft_of_neuronpedia(session, document)
        note = "From Neuronpedia's JSON"
        return create_preset(session, actor, called, draft, visible_to=visible_to, note=note)
    read = read_document(document)
    features = [_feature_of(one, read) for one in read["interventions"]]
    check_unchanged(read, _hashes_here(session, features))
    release, pinned = pin(session, _in_raw(read, draft_of(read)))
    for one, theirs in zip(pinned["interventions"], read["interventions"], strict=True):
        _take_amount(one, theirs)
    # What was measured with other weights is not said to be of these: it is a warning.
    for key in ("revision", "weights_sha256"):
        pinned["model"][key] = read["model"][key]
    return add_preset(
        session,
        actor,
        name or read["name"] or "",
        release.id,
        pinned,
        description=read["description"] or "",
        visible_to=visible_to,
        note=f"From {(read['name'] or '')[:100]} @ {read['version']}",
    )


def _feature_of(one: Mapping[str, Any], document: Mapping[str, Any]) -> FeatureId:
    """Return the feature of an intervention; its id, SAE and number must say the same."""
    feature = parse_feature_id(one["id"])
    layers = {sae["ref"]: sae["layer"] for sae in document["sae"]}
    if (layers.get(one["sae"]), one["feature"]) != (feature.layer, feature.index):
        raise InvalidInputError(
            f"{one['id']} stands beside the SAE {one['sae'][:40]!r} and the number "
            f"{one['feature']} in the document, which are another feature's; give a preset.json as "
            "Scopebook has exported it."
        )
    return feature


def _hashes_here(session: Session, features: list[FeatureId]) -> dict[int, str]:
    """Return the hashes of the SAEs that the first feature's release has here, by layer."""
    first = features[0]
    rows = session.execute(
        select(Sae.layer, Sae.sha256)
        .join(Release, Release.id == Sae.release_id)
        .join(Model, Model.id == Release.model_id)
        .where(Model.name == first.model, Release.set_name == first.set_name)
    )
    return {row.layer: row.sha256 for row in rows}


def _in_raw(document: Mapping[str, Any], draft: PresetDraft) -> PresetDraft:
    """Return the draft with the absolute strengths of the document, which need no collection."""
    raw = []
    for one, theirs in zip(draft.interventions, document["interventions"], strict=True):
        amount = _amount_of(theirs)
        value = None if amount is None else amount["absolute"]
        intervention = replace(one.intervention, value=value, unit="raw")
        raw.append(replace(one, intervention=intervention))
    return replace(draft, interventions=raw)


def _amount_of(theirs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the amount of an intervention as the file has it; None for `ablate`."""
    if theirs["op"] not in AMOUNT:
        return None
    amount: Mapping[str, Any] | None = theirs[AMOUNT[theirs["op"]]]
    if amount is None:
        raise InvalidInputError(
            f"{theirs['id']} has no {AMOUNT[theirs['op']]} in the document; give a preset.json as "
            "Scopebook has exported it."
        )
    return amount


def _take_amount(pinned: Document, theirs: Mapping[str, Any]) -> None:
    """Put the amount of the file, as people gave it, in the place of the absolute one."""
    amount = _amount_of(theirs)
    if amount is None:
        return
    kept, unit = pinned[AMOUNT[pinned["op"]]], amount["unit"] or "raw"
    expected = _absolute(amount, unit)
    if not math.isclose(expected, amount["absolute"], rel_tol=_SAME, abs_tol=_SAME):
        raise InvalidInputError(
            f"{pinned['id']} is {amount['value']:g} {unit} in the document, which is {expected:g} "
            f"and not its absolute {amount['absolute']:g}; give a preset.json as Scopebook has "
            "exported it."
        )
    if "unit" in kept:
        kept |= {"value": amount["value"], "unit": unit, "stats_ref": amount["stats_ref"]}
        kept |= {name: amount[name] for name in ("max_act", "resid_norm")}


def _absolute(amount: Mapping[str, Any], unit: str) -> float:
    """Return what an amount comes to by its own numbers; NaN where these are not there."""
    value = float(amount["value"])
    if unit == "max_act":
        return value * (math.nan if amount["max_act"] is None else amount["max_act"])
    if unit == "resid_norm":
        there = amount["resid_norm"] is not None and amount["d_norm"]
        return value * amount["resid_norm"] / amount["d_norm"] if there else math.nan
    return value


#: Numbers that differ by less are the same, written otherwise.
_SAME: Final = 1e-6
