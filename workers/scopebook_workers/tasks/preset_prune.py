"""Find the smallest part of a group of features that still does what a test expects."""

from collections.abc import Callable, Mapping, Sequence
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
    """Return a part of the members that passes the test and can do without none of its own.

    Those that do least by themselves are left out first, many at once while that goes well. What is
    edited beside the members stays. That holds as far as a member that was needed once is needed
    with fewer others too.

    Raises InvalidInputError where the test does not hold with all of them.
    """

    def measured(parts: Sequence[Sequence[Member]]) -> list[float]:
        variants = [_only(edits, members, part) for part in parts]
        found = measure(test, bench, [_UNSTEERED, *variants], feature=feature_of(test))
        return found.values

    progress(0, len(members), "features")
    unsteered, whole, *alone = measured([list(members), *([one] for one in members)])
    if not holds(test, unsteered=unsteered, steered=whole):
        raise InvalidInputError(
            f"The test {test.name!r} does not hold with all of {len(members)} features: expected "
            f"that {test.sentence}, and {unsteered:.3g} became {whole:.3g}; strengthen them first."
        )
    _, *without = measured([[other for other in members if other != one] for one in members])
    falls = test.expect in ("below", "falls")
    # The first does least: alone it leaves the most where the test wants little, and so on.
    order = sorted(zip(alone, members, strict=True), reverse=falls)

    def passes(part: Sequence[Member]) -> float | None:
        _, value = measured([part])
        return value if holds(test, unsteered=unsteered, steered=value) else None

    kept, pruned = _leave_out([member for _, member in order], whole, passes, progress)
    return Pruned(
        unsteered=unsteered,
        whole=whole,
        pruned=pruned,
        kept=kept,
        alone=dict(zip(members, alone, strict=True)),
        without=dict(zip(members, without, strict=True)),
    )


def _leave_out(
    order: Sequence[Member],
    whole: float,
    passes: Callable[[Sequence[Member]], float | None],
    progress: Progress,
) -> tuple[list[Member], float]:
    """Return what is left of members in order, the first of them tried first, and its value.

    So many are tried at once as went well before, and half of them where they are needed.
    """
    left, needed, value = list(order), list[Member](), whole
    at_once = max(1, len(left) // 2)
    while left:
        at_once = min(at_once, len(left))
        rest = left[at_once:] + needed
        found = passes(rest) if rest else None
        if found is not None:
            left, value = left[at_once:], found
        elif at_once > 1:
            at_once //= 2
            continue
        else:
            needed.append(left.pop(0))
        progress(len(order) - len(left), len(order), "features")
    return needed, value


def _only(edits: Edits, members: Sequence[Member], part: Sequence[Member]) -> Edits:
    """Return the edits with all members but a part doing nothing: rows of a batch stay alike."""

    def edited(layer: int, edit: Edit) -> Edit:
        member = (layer, edit.feature)
        return replace(edit, strength=0.0) if member in members and member not in part else edit

    return {layer: [edited(layer, one) for one in of] for layer, of in edits.items()}
