"""What two versions of a preset say differently, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scopebook.preset_documents import amount_of
from scopebook.preset_tests import read_test

_POSITIONS = {
    "prompt": "tokens of the prompt",
    "generation": "tokens that are written",
    "exclude_special_tokens": "special tokens left out",
}


@dataclass(frozen=True)
class Change:
    """Something that is different; None where it is not there."""

    what: str
    before: str | None
    after: str | None


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what differs between two documents, features first."""
    pairs = (
        (_interventions(before), _interventions(after)),
        (_groups(before), _groups(after)),
        (_where(before), _where(after)),
        (_tests(before), _tests(after)),
        (_saes(before), _saes(after)),
    )
    return [change for old, new in pairs for change in _differences(old, new)]


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for what in dict.fromkeys([*old, *new]):
        if old.get(what) != new.get(what):
            yield Change(what, old.get(what), new.get(what))


def _interventions(document: Mapping[str, Any]) -> dict[str, str]:
    return {one["id"]: said_of(one) for one in document["interventions"]}


def said_of(one: Mapping[str, Any]) -> str:
    """Return what is done to a feature, in words."""
    amount = amount_of(one)
    said: str = one["op"]
    if amount:
        unit = amount.get("unit")
        said += f" {amount['value']:g}" + (f" {unit}" if unit else "")
        if unit not in (None, "raw"):
            said += f" ({amount['absolute']:.4g})"
    if one["group"] is not None:
        said += f", in {one['group']}"
    return said if one["enabled"] else f"{said}, switched off"


def _groups(document: Mapping[str, Any]) -> dict[str, str]:
    return {f"group {one['name']}": f"× {one['strength']:g}" for one in document["groups"]}


def _where(document: Mapping[str, Any]) -> dict[str, str]:
    return {_POSITIONS[name]: str(value) for name, value in document["positions"].items()}


def _tests(document: Mapping[str, Any]) -> dict[str, str]:
    tests = [read_test(one) for one in document["tests"]]
    return {
        f"test {one.name}": f"{one.sentence}; {len(one.prompts)} prompts × {one.samples}, "
        f"{one.tokens} tokens at {one.temperature:g}"
        for one in tests
    }


def _saes(document: Mapping[str, Any]) -> dict[str, str]:
    return {f"SAE of layer {one['layer']}": one["sha256"][:12] for one in document["sae"]}
