"""What the API answers of presets; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.steer import PositionsRequest


class DraftShape(TypedDict):
    """All that a version of a preset says."""

    interventions: list[PresetInterventionShape]
    groups: list[GroupShape]
    positions: PositionsRequest
    tests: list[PresetTestShape]


class ExportRead(TypedDict):
    """A version compiled for a target; without a hash until its job is done."""

    id: int
    version: int
    target: str
    job_id: int
    sha256: str | None
    size_bytes: int | None
    created_at: str


class ExportRequest(TypedDict):
    """Tools to write files for."""

    targets: list[str]


class ForkRequest(TypedDict):
    """What the preset that is made of a version is called."""

    name: str


class GroupShape(TypedDict):
    """Features that are one concept, and what their changes are multiplied by."""

    name: str
    strength: float


class ImportRequest(TypedDict):
    """A `preset.json` of an export, or Neuronpedia's JSON of steering, to become a preset here."""

    document: dict[str, Any]
    name: NotRequired[str | None]
    visible_to: NotRequired[Literal["owner", "viewer", "annotator", "editor", "admin"]]


class MeasuredTextRead(TypedDict):
    """What was written for a prompt of a test."""

    prompt: str
    unsteered: str
    steered: str


class MemberFoundRead(TypedDict):
    """What a feature of a group does by itself, and what the others do without it."""

    feature: str
    alone: float
    without: float
    kept: bool


class PresetChange(TypedDict):
    """What is to be different; what is left out stays."""

    name: str | None
    description: str | None
    visible_to: Literal["owner", "viewer", "annotator", "editor", "admin"] | None
    archived: bool | None


class PresetDiffRead(TypedDict):
    """What two versions say differently."""

    before: int
    after: int
    changes: list[PresetDifferenceRead]


class PresetDifferenceRead(TypedDict):
    """A line of a comparison of two versions."""

    what: str
    before: str | None
    after: str | None


class PresetInterventionShape(TypedDict):
    """What is to be done to a feature."""

    feature: str
    op: Literal["add", "set", "min_set", "ablate", "scale", "project"]
    value: float | None
    unit: Literal["raw", "max_act", "resid_norm"]
    group: str | None
    enabled: bool


class PresetRead(TypedDict):
    """A preset without what its versions say."""

    id: int
    key: str
    name: str
    description: str
    owner: str
    release: str
    model: str
    visible_to: Literal["owner", "viewer", "annotator", "editor", "admin"]
    archived: bool
    revision: int
    version: int
    features: int
    status: Literal["draft", "approved"]
    approved: int | None
    forked_from: int | None
    mine: bool
    created_at: str
    changed_at: str


class PresetRequest(TypedDict):
    """A preset to be made, with its first version."""

    name: str
    description: NotRequired[str]
    visible_to: NotRequired[Literal["owner", "viewer", "annotator", "editor", "admin"]]
    note: NotRequired[str]
    release: NotRequired[str | None]
    draft: DraftShape


class PresetTestFoundRead(TypedDict):
    """How a test went."""

    name: str
    sentence: str
    unsteered: float | None
    steered: float | None
    holds: bool
    texts: list[MeasuredTextRead]


class PresetTestShape(TypedDict):
    """Prompts that the model goes on with, and what is expected of what it writes."""

    name: str
    prompts: list[str]
    measure: Literal["script", "activation", "text", "distinct", "divergence"]
    of: str | None
    expect: Literal["below", "above", "falls", "rises"]
    value: float
    samples: int
    tokens: int
    temperature: float
    seed: int


class PruneFoundRead(TypedDict):
    """The smallest part of a group that still passes a test."""

    test: str
    group: str | None
    sentence: str
    unsteered: float
    whole: float
    pruned: float
    members: list[MemberFoundRead]


class PruneRequest(TypedDict):
    """Which test must go on to hold while features are left out."""

    test: str
    group: NotRequired[str | None]


class ReportRead(TypedDict):
    """What a job measured of a version; neither of both until it is done."""

    id: int
    version: int
    kind: Literal["test", "prune"]
    job_id: int
    tests: list[PresetTestFoundRead] | None
    pruning: PruneFoundRead | None
    created_at: str


class StalePresetProblem(TypedDict):
    """A problem (RFC 9457) with the preset as it is now: save yours after it, or drop it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    current: PresetRead


class StatusRequest(TypedDict):
    """Whether a version is approved."""

    status: Literal["draft", "approved"]
    note: NotRequired[str]


class TargetRead(TypedDict):
    """What a target would make of a version."""

    name: str
    title: str
    good_for: str
    files: list[str]
    verifies: bool
    refusals: list[str]
    losses: list[str]


class VersionRead(TypedDict):
    """A version with all that it says."""

    id: int
    number: int
    author: str
    note: str
    status: Literal["draft", "approved"]
    decided_by: str | None
    decided_why: str | None
    sha256: str
    created_at: str
    draft: DraftShape
    document: dict[str, Any]
    warnings: list[str]


class VersionRequest(TypedDict):
    """A version to be added."""

    draft: DraftShape
    note: NotRequired[str]


class VersionSummary(TypedDict):
    """A version without what it says."""

    id: int
    number: int
    author: str
    note: str
    status: Literal["draft", "approved"]
    decided_by: str | None
    decided_why: str | None
    sha256: str
    created_at: str
