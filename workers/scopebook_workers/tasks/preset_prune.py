"""Find the smallest part of a group of features that still does what a test expects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.orm import Session

from scopebook.errors import InvalidInputError
from scopebook.jobs import PRUNE_PRESET
from scopebook.preset_tests import PresetTest, holds, read_test
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.exporters.compiling import edits_of
from scopebook_workers.inference.measured import Bench, Edits, measure
from scopebook_workers.sae.edits import Edit
from scopebook_workers.tasks.preset_test import bench_of, feature_of, report_of
from scopebook_workers.tasks.preset_versions import load_version

_UNSTEERED: Final[Edits] = {}
#: A feature by its layer and index.
Member = tuple[int, int]


@dataclass(frozen=True)
class Pruned:
    """What was measured: unsteered, with all, with what is left, of each alone and without it."""

    unsteered: float
    whole: float
    pruned: float
    kept: list[Member]
    alone: Mapping[Member, float]
    without: Mapping[Member, float]


@step_task(PRUNE_PRESET)
def prune_preset(claim: Claim, progress: Progress) -> Finish:
    """Leave features of a group out, one after the other, while the test goes on to hold."""
    loaded = load_version(claim.job_id)
    group: str | None = claim.parameters["group"]
    tests = [read_test(one) for one in loaded.document["tests"]]
    [test] = [one for one in tests if one.name == claim.parameters["test"]]
    members = _members(loaded.document, group)
    edits = edits_of(loaded.document)
    found = prune(test, bench_of(loaded, progress), edits, list(members), progress)

    def write(session: Session) -> None:
        report_of(session, claim.job_id).found = {
            "test": test.name,
            "group": group,
            "sentence": test.sentence,
            "unsteered": found.unsteered,
            "whole": found.whole,
            "pruned": found.pruned,
            "members": [
                {
                    "feature": name,
                    "alone": found.alone[member],
                    "without": found.without[member],
                    "kept": member in found.kept,
                }
                for member, name in members.items()
            ],
        }

    return write


def _members(document: Mapping[str, Any], group: str | None) -> dict[Member, str]:
    """Return the enabled features of a group, or all, with their names."""
    layers = {one["ref"]: one["layer"] for one in document["sae"]}
    return {
        (layers[one["sae"]], one["feature"]): one["id"]
        for one in document["interventions"]
        if one["enabled"] and (group is None or one["group"] == group)
    }


def prune(
    test: PresetTest, bench: Bench, edits: Edits, members: Sequence[Member], progress: Progress
) -> Pruned:
    """Return the smallest part of the members that is found from above, and how each one counts.

    Those without which the test is met best are left out first, one at a time, until none can be.
    What is edited beside the members stays.

    Raises InvalidInputError where the test does not hold with all of them.
    """

    def measured(parts: Sequence[Sequence[Member]]) -> list[float]:
        variants = [_only(edits, members, part) for part in parts]
        found = measure(test, bench, [_UNSTEERED, *variants], feature=feature_of(test))
        return found.values

    progress(0, len(members), "features")
    singles = [[one] for one in members]
    unsteered, whole, *alone = measured([list(members), *singles])
    if not holds(test, unsteered=unsteered, steered=whole):
        raise InvalidInputError(
            f"The test {test.name!r} does not hold with all of {len(members)} features: expected "
            f"that {test.sentence}, and {unsteered:.3g} became {whole:.3g}; strengthen them first."
        )
    kept, pruned = list(members), whole
    without: dict[Member, float] = {}
    while len(kept) > 1:
        rest = [[other for other in kept if other != one] for one in kept]
        _, *values = measured(rest)
        if not without:
            without = dict(zip(kept, values, strict=True))
        best = _best(test, unsteered, values)
        if best is None:
            break
        pruned = values[best]
        kept.pop(best)
        progress(len(members) - len(kept), len(members), "features")
    return Pruned(
        unsteered=unsteered,
        whole=whole,
        pruned=pruned,
        kept=kept,
        alone=dict(zip(members, alone, strict=True)),
        without=without,
    )


def _only(edits: Edits, members: Sequence[Member], part: Sequence[Member]) -> Edits:
    """Return the edits with all members but a part doing nothing: rows of a batch stay alike."""

    def edited(layer: int, edit: Edit) -> Edit:
        member = (layer, edit.feature)
        return replace(edit, strength=0.0) if member in members and member not in part else edit

    return {layer: [edited(layer, one) for one in of] for layer, of in edits.items()}


def _best(test: PresetTest, unsteered: float, values: Sequence[float]) -> int | None:
    """Return the place of the value that meets the test best, of those that do."""
    falls = test.expect in ("below", "falls")
    meets = [
        (value if falls else -value, place)
        for place, value in enumerate(values)
        if holds(test, unsteered=unsteered, steered=value)
    ]
    return min(meets)[1] if meets else None
