"""Take `preset.json` back in: for the very SAEs that it names, with the strengths that it pins."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.tables import Sae
from scopebook.errors import InvalidInputError
from scopebook.preset_documents import AMOUNT, SCHEMA, Document, check_unchanged, draft_of, pin
from scopebook.preset_drafts import PresetDraft
from scopebook.preset_views import Audience, PresetView
from scopebook.presets import add_preset
from scopebook.steering import LARGEST, OPS, PROMPT_POSITIONS, UNITS


def import_document(
    session: Session,
    actor: Actor,
    document: Mapping[str, Any],
    *,
    name: str | None = None,
    visible_to: Audience = "viewer",
) -> PresetView:
    """Make a preset of a `preset.json`.

    Raises InvalidInputError for one that is none, that names SAEs which are not here or are others,
    and for numbers that are none.
    """
    draft = _read(document)
    release, pinned = pin(session, _in_raw(document, draft))
    saes = session.execute(select(Sae.layer, Sae.sha256).where(Sae.release_id == release.id))
    check_unchanged(document, {row.layer: row.sha256 for row in saes})
    for one, theirs in zip(pinned["interventions"], document["interventions"], strict=True):
        _take_amount(one, theirs)
    called = name or str(document.get("name") or "")
    words = str(document.get("description") or "")
    note = f"From {str(document.get('name'))[:100]} @ {document.get('version')}"
    return add_preset(
        session,
        actor,
        called,
        release.id,
        pinned,
        description=words[:10_000],
        visible_to=visible_to,
        note=note,
    )


def _read(document: Mapping[str, Any]) -> PresetDraft:
    """Return what a document says, as a draft; it may be anything."""
    if document.get("schema") != SCHEMA:
        raise InvalidInputError(
            f"The document's schema is {str(document.get('schema'))[:40]!r}; expected {SCHEMA!r}, "
            "a preset.json that Scopebook has exported."
        )
    try:
        draft = draft_of(document)
        for one in draft.interventions:
            known = one.intervention.op in OPS and one.intervention.unit in UNITS
            if not known or not isinstance(one.intervention.feature, str):
                raise ValueError(f"{one.intervention.feature} has an unknown operation or unit")
        if draft.positions.prompt not in PROMPT_POSITIONS:
            raise ValueError("the prompt's positions are unknown")
        for sae in document["sae"]:
            int(sae["layer"]), str(sae["sha256"]), str(sae["release"]), str(sae["source"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InvalidInputError(
            f"The document is no complete preset ({type(error).__name__}: {str(error)[:100]}); "
            "give a preset.json as Scopebook has exported it."
        ) from error
    return draft


def _in_raw(document: Mapping[str, Any], draft: PresetDraft) -> PresetDraft:
    """Return the draft with the absolute strengths of the document, which need no collection."""
    raw = []
    for one, theirs in zip(draft.interventions, document["interventions"], strict=True):
        amount = _amount_of(theirs)
        value = None if amount is None else _number(one.intervention.feature, amount, "absolute")
        intervention = replace(one.intervention, value=value, unit="raw")
        raw.append(replace(one, intervention=intervention))
    return replace(draft, interventions=raw)


def _amount_of(theirs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the amount of an intervention as the file has it; None for `ablate`."""
    if theirs["op"] not in AMOUNT:
        return None
    amount = theirs.get(AMOUNT[theirs["op"]])
    if not isinstance(amount, Mapping):
        raise InvalidInputError(
            f"{theirs['id']} has no {AMOUNT[theirs['op']]} in the document; give a preset.json as "
            "Scopebook has exported it."
        )
    return amount


def _number(feature: str, amount: Mapping[str, Any], name: str) -> float:
    value = amount.get(name)
    if not isinstance(value, int | float) or not abs(value) <= LARGEST or math.isnan(value):
        raise InvalidInputError(
            f"{feature} has {str(value)[:40]!r} as {name} in the document; a number between "
            f"-{LARGEST:,} and {LARGEST:,} belongs there."
        )
    return float(value)


def _take_amount(pinned: Document, theirs: Mapping[str, Any]) -> None:
    """Put the amount of the file, as people gave it, in the place of the absolute one."""
    amount = _amount_of(theirs)
    if amount is None:
        return
    feature, unit = pinned["id"], amount.get("unit", "raw")
    kept = pinned[AMOUNT[pinned["op"]]]
    value, absolute = (_number(feature, amount, name) for name in ("value", "absolute"))
    expected = value
    if unit == "max_act":
        expected = value * _number(feature, amount, "max_act")
    elif unit == "resid_norm":
        norm, length = (_number(feature, amount, name) for name in ("resid_norm", "d_norm"))
        expected = value * norm / length if length else math.nan
    if not math.isclose(expected, absolute, rel_tol=_SAME, abs_tol=_SAME):
        raise InvalidInputError(
            f"{feature} is {value:g} {unit} in the document, which is {expected:g} and not its "
            f"absolute {absolute:g}; give a preset.json as Scopebook has exported it."
        )
    if "unit" in kept:
        for name in ("max_act", "resid_norm"):
            known = amount.get(name) is not None
            kept[name] = _number(feature, amount, name) if known else None
        kept["value"], kept["unit"] = value, unit
        kept["stats_ref"] = str(amount.get("stats_ref", ""))[:200]


#: Numbers that differ by less are the same, written otherwise.
_SAME: Final = 1e-6
