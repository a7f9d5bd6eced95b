"""Ask for exports and measurements of preset versions, as jobs, and read what came of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.db.jobs import Job
from scopebook.db.preset_tables import Preset, PresetExport, PresetReport, PresetVersion
from scopebook.db.tables import Release, Sae
from scopebook.errors import InvalidInputError, NotFoundError
from scopebook.export_targets import TARGETS, losses, refusals
from scopebook.jobs import EXPORT_PRESET, PRUNE_PRESET, TEST_PRESET
from scopebook.preset_documents import Document, check_unchanged, draft_of, pinned_warnings
from scopebook.preset_drafts import DraftIntervention, PresetDraft
from scopebook.preset_tests import read_test
from scopebook.preset_views import PresetView, VersionView, read_preset, read_version, version_row
from scopebook.release_names import parse_feature_id
from scopebook.steps import NewStep, add_steps, create_job

#: `test`: how its tests went. `prune`: the smallest part of a group that still passes one.
ReportKind = Literal["test", "prune"]
PRESET_JOB: Final = "preset"
#: So many refusals are told in full.
_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """What a target would make of a version."""

    name: str
    title: str
    good_for: str
    files: list[str]
    #: Whether the bundle can prove on the user's machine that the tool steers as measured here.
    verifies: bool
    #: Why it cannot be exported so; nothing: it can.
    refusals: list[str]
    #: What the target's files do not carry.
    losses: list[str]


@dataclass(frozen=True, kw_only=True)
class ExportView:
    """A version compiled for a target; without a hash until its job is done."""

    id: int
    version: int
    target: str
    job_id: int
    sha256: str | None
    size_bytes: int | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ReportView:
    """What a job found of a version; nothing until it is done."""

    id: int
    version: int
    kind: ReportKind
    job_id: int
    found: dict[str, Any] | None
    created_at: datetime


def whole_document(preset: PresetView, version: VersionView, *, parent: str | None) -> Document:
    """Return `preset.json`: what a version says, under the preset's name; the same at each call."""
    assert version.document is not None
    stored = version.document
    return {
        "schema": stored["schema"],
        "id": preset.key,
        "name": version.name,
        "description": version.description,
        "version": version.number,
        "sha256": version.sha256,
        "parent": None if parent is None else f"sha256:{parent}",
        "created": version.created_at.isoformat(),
        "author": version.author,
        **{key: value for key, value in stored.items() if key != "schema"},
        "notice": {**stored["notice"], "warnings": pinned_warnings(stored)},
    }


def document_of(
    session: Session, actor: Actor, preset_id: int, number: int | None = None
) -> Document:
    """Return `preset.json` of a version that one may see; of the newest where none is named."""
    preset = read_preset(session, actor, preset_id)
    version = read_version(session, actor, preset_id, number)
    return whole_document(preset, version, parent=_parent(session, preset, version.number))


def _parent(session: Session, preset: PresetView, number: int) -> str | None:
    if number > 1:
        return version_row(session, preset.id, number - 1).sha256
    if preset.forked_from is None:
        return None
    return session.get_one(PresetVersion, preset.forked_from).sha256


def targets_of(document: Mapping[str, Any]) -> list[TargetView]:
    """Return every target with what it would refuse and lose of a document, in their order."""
    return [
        TargetView(
            name=target.name,
            title=target.title,
            good_for=target.good_for,
            files=list(target.files),
            verifies=target.verifies,
            refusals=_refusals(document, target.name),
            losses=losses(document, target.name),
        )
        for target in TARGETS.values()
    ]


def _cannot_take(name: str, found: Sequence[str]) -> str:
    """Return the first refusals in full: of sixty features each has its own."""
    more = len(found) - _SHOWN
    rest = f" So it is with {more} more; the targets of the preset tell all." if more > 0 else ""
    return f"{TARGETS[name].title} cannot take this: {' '.join(found[:_SHOWN])}{rest}"


def _refusals(document: Mapping[str, Any], target: str) -> list[str]:
    arch = document["model"]["arch"]
    return [one.reason for one in refusals(document, target, model_type=arch)]


def request_exports(
    session: Session, actor: Actor, preset_id: int, number: int, targets: Sequence[str]
) -> Job:
    """Ask for files for some targets; refuse the first that cannot be exported, with its reasons.

    Also refused are SAEs that are others than when the version was saved.
    """
    names = list(dict.fromkeys(targets))
    unknown = [name for name in names if name not in TARGETS]
    if unknown or not names:
        raise InvalidInputError(
            f"{', '.join(map(repr, unknown)) or 'No target'} is no tool that presets are exported "
            f"for; targets are: {', '.join(TARGETS)}."
        )
    document = document_of(session, actor, preset_id, number)
    for name in names:
        if found := _refusals(document, name):
            raise InvalidInputError(_cannot_take(name, found))
    version = _checked(session, preset_id, number)
    job = _job(session, preset_id, "Export a preset", EXPORT_PRESET, {"targets": names})
    exports = [PresetExport(version_id=version.id, target=name, job_id=job.id) for name in names]
    session.add_all(exports)
    session.flush()
    return job


def request_tests(session: Session, actor: Actor, preset_id: int, number: int) -> Job:
    """Ask for the tests of a version to be run."""
    document = document_of(session, actor, preset_id, number)
    if not document["tests"]:
        raise InvalidInputError(
            f"Version {number} of {document['name']!r} has no tests; save a version with some."
        )
    version = _checked(session, preset_id, number)
    return _reported(session, preset_id, version, "test", "Test a preset", TEST_PRESET, {})


def request_pruning(
    session: Session, actor: Actor, preset_id: int, number: int, *, test: str, group: str | None
) -> Job:
    """Ask for the smallest part of a group, or of all features, that still passes a test."""
    document = document_of(session, actor, preset_id, number)
    draft = draft_of(document)
    if test not in [one.name for one in draft.tests]:
        known = ", ".join(repr(one.name) for one in draft.tests) or "none; save one"
        raise InvalidInputError(f"There is no test {test!r}; tests of the version are: {known}.")
    members = [one for one in draft.interventions if one.enabled]
    members = [one for one in members if group is None or one.group == group]
    if len(members) < 2:
        which = "The preset" if group is None else f"The group {group!r}"
        raise InvalidInputError(
            f"{which} has {len(members)} enabled features, so there is nothing to leave out; take "
            "one with more."
        )
    _check_projections_alone(draft, members)
    version = _checked(session, preset_id, number)
    asked = {"test": test, "group": group}
    return _reported(session, preset_id, version, "prune", "Prune a preset", PRUNE_PRESET, asked)


def _check_projections_alone(draft: PresetDraft, members: Sequence[DraftIntervention]) -> None:
    """Refuse to leave one of several projections of a layer out: they are one of a space."""
    of_layer: dict[str, list[DraftIntervention]] = {}
    for one in draft.interventions:
        if one.enabled and one.intervention.op == "project":
            of_layer.setdefault(one.intervention.feature.rpartition("/")[0], []).append(one)
    for sae, projected in of_layer.items():
        if len(projected) > 1 and any(one in members for one in projected):
            raise InvalidInputError(
                f"{len(projected)} features of {sae} are projected as one space, of which none can "
                "be left out by itself; ablate them, or prune a group without them."
            )


def _checked(session: Session, preset_id: int, number: int) -> PresetVersion:
    """Return a version whose SAEs are here as they were when it was saved."""
    version = version_row(session, preset_id, number)
    preset = session.get_one(Preset, preset_id)
    saes = session.execute(
        select(Sae.layer, Sae.sha256).where(Sae.release_id == preset.release_id, Sae.artifact != "")
    )
    here = {row.layer: row.sha256 for row in saes}
    check_unchanged(version.document, here)
    for layer in sorted(read_layers(version.document) - set(here)):
        raise InvalidInputError(
            f"A test reads a feature of layer {layer}, whose SAE is not here; add it with "
            f"`scopebook add {version.document['sae'][0]['source']} --layers {layer}`."
        )
    return version


def read_layers(document: Mapping[str, Any]) -> set[int]:
    """Return the layers of features whose activations the tests read."""
    tests = [read_test(one) for one in document["tests"]]
    return {parse_feature_id(one.of or "").layer for one in tests if one.measure == "activation"}


def _job(
    session: Session, preset_id: int, title: str, kind: str, parameters: dict[str, Any]
) -> Job:
    """Create a job of one step; its title names no preset, since all may see jobs."""
    preset = session.get_one(Preset, preset_id)
    release = session.get_one(Release, preset.release_id)
    asked = {"release": release.name, "preset": preset_id}
    job = create_job(session, PRESET_JOB, f"{title} of {release.name}", [], parameters=asked)
    step = NewStep(kind=kind, stage=0, title=title, parameters=parameters)
    add_steps(session, job.id, [step])
    return job


def _reported(
    session: Session,
    preset_id: int,
    version: PresetVersion,
    of: ReportKind,
    title: str,
    kind: str,
    parameters: dict[str, Any],
) -> Job:
    job = _job(session, preset_id, title, kind, parameters)
    session.add(PresetReport(version_id=version.id, kind=of, job_id=job.id))
    session.flush()
    return job


def list_exports(
    session: Session, actor: Actor, preset_id: int, number: int | None = None
) -> list[ExportView]:
    """Return the exports of a preset that one may see, or of one of its versions, newest first."""
    read_preset(session, actor, preset_id)
    statement = (
        select(PresetExport, PresetVersion.number)
        .join(PresetVersion, PresetVersion.id == PresetExport.version_id)
        .where(PresetVersion.preset_id == preset_id)
        .order_by(PresetExport.id.desc())
    )
    if number is not None:
        statement = statement.where(PresetVersion.number == number)
    return [_export_view(row) for row in session.execute(statement)]


def _export_view(row: Any) -> ExportView:
    export: PresetExport = row.PresetExport
    return ExportView(
        id=export.id,
        version=row.number,
        target=export.target,
        job_id=export.job_id,
        sha256=export.sha256,
        size_bytes=export.size_bytes,
        created_at=export.created_at,
    )


def find_export(
    session: Session, actor: Actor, preset_id: int, export_id: int
) -> tuple[ExportView, str]:
    """Return an export that is done, and its artifact."""
    found = [one for one in list_exports(session, actor, preset_id) if one.id == export_id]
    if not found:
        raise NotFoundError(f"There is no export {export_id} of this preset.")
    artifact = session.get_one(PresetExport, export_id).artifact
    if artifact is None:
        raise NotFoundError(
            f"Export {export_id} is not done; job {found[0].job_id} says how far it is."
        )
    return found[0], artifact


def list_reports(
    session: Session, actor: Actor, preset_id: int, number: int | None = None
) -> list[ReportView]:
    """Return what was measured of a preset's versions, or of one of them, newest first."""
    read_preset(session, actor, preset_id)
    statement = (
        select(PresetReport, PresetVersion.number)
        .join(PresetVersion, PresetVersion.id == PresetReport.version_id)
        .where(PresetVersion.preset_id == preset_id, PresetReport.kind.in_(("test", "prune")))
        .order_by(PresetReport.id.desc())
    )
    if number is not None:
        statement = statement.where(PresetVersion.number == number)
    return [
        ReportView(
            id=row.PresetReport.id,
            version=row.number,
            kind="test" if row.PresetReport.kind == "test" else "prune",
            job_id=row.PresetReport.job_id,
            found=row.PresetReport.found,
            created_at=row.PresetReport.created_at,
        )
        for row in session.execute(statement)
    ]
