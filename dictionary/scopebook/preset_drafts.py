"""What people put together as a preset, before it becomes a version."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from scopebook.errors import InvalidInputError
from scopebook.preset_tests import PresetTest, check_tests
from scopebook.steering import LARGEST, MOST_FEATURES, Intervention, Positions, check_intervention

LONGEST_NAME: Final = 200
MOST_GROUPS: Final = 50


@dataclass(frozen=True, kw_only=True)
class DraftIntervention:
    """What is to be done to a feature, in which group, and whether it is."""

    intervention: Intervention
    #: The name of its group, whose strength multiplies its change.
    group: str | None = None
    #: One that is not stays in the preset and does nothing.
    enabled: bool = True


@dataclass(frozen=True, kw_only=True)
class Group:
    """Features that are one concept, and what their changes are multiplied by."""

    name: str
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PresetDraft:
    """All that a version of a preset says."""

    interventions: Sequence[DraftIntervention]
    groups: Sequence[Group] = ()
    positions: Positions = field(default_factory=Positions)
    tests: Sequence[PresetTest] = ()

    def strength_of(self, one: DraftIntervention) -> float:
        """Return what an intervention's change is multiplied by."""
        strengths = {group.name: group.strength for group in self.groups}
        return 1.0 if one.group is None else strengths[one.group]

    def enabled(self) -> list[Intervention]:
        """Return what is done, each with its group's strength."""
        return [
            replace(one.intervention, strength=self.strength_of(one))
            for one in self.interventions
            if one.enabled
        ]


def check_draft(draft: PresetDraft) -> None:
    """Refuse a draft that means nothing; the sentence names what is wrong with it."""
    if not 1 <= len(draft.interventions) <= MOST_FEATURES:
        raise InvalidInputError(
            f"The preset has {len(draft.interventions)} features; name 1 to {MOST_FEATURES}."
        )
    if not any(one.enabled for one in draft.interventions):
        raise InvalidInputError("No feature of the preset is enabled; enable one.")
    if draft.positions.prompt == "none" and not draft.positions.written:
        raise InvalidInputError(
            "No token is to be steered: neither of the prompt nor of what is written; choose some."
        )
    _check_groups(draft)
    for one in draft.interventions:
        check_intervention(one.intervention)
        if one.intervention.strength != 1.0:
            raise InvalidInputError(
                f"{one.intervention.feature} has a strength of its own; put it into a group, which "
                "has one for all of its features."
            )
    check_tests(draft.tests)


def _check_groups(draft: PresetDraft) -> None:
    names = [group.name for group in draft.groups]
    if len(names) > MOST_GROUPS:
        raise InvalidInputError(f"{len(names)} groups are too many; give at most {MOST_GROUPS}.")
    for group in draft.groups:
        named = 1 <= len(group.name.strip()) <= LONGEST_NAME and group.name.isprintable()
        if not named or names.count(group.name) > 1:
            raise InvalidInputError(
                f"The group {group.name[:40]!r} has no name of its own; give each group one of 1 "
                f"to {LONGEST_NAME} characters."
            )
        if not abs(group.strength) <= LARGEST:
            raise InvalidInputError(
                f"The group {group.name!r} has the strength {group.strength:g}; give a number "
                f"between -{LARGEST:,} and {LARGEST:,}."
            )
    for one in draft.interventions:
        if one.group is not None and one.group not in names:
            known = ", ".join(map(repr, names)) or "none"
            raise InvalidInputError(
                f"{one.intervention.feature} is in the group {one.group!r}, which is not there; "
                f"groups are: {known}."
            )
