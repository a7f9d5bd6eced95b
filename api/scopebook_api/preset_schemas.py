"""The JSON of presets: what people save, its versions, exports and what was measured."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from scopebook.preset_drafts import (
    LONGEST_NAME,
    MOST_GROUPS,
    DraftIntervention,
    Group,
    PresetDraft,
)
from scopebook.preset_tests import (
    LONGEST_PROMPT,
    MOST_PROMPTS,
    MOST_TESTS,
    Expectation,
    Measure,
    PresetTest,
)
from scopebook.preset_views import Audience, Status
from scopebook.steering import MOST_FEATURES, Intervention, Op, Positions, Unit
from scopebook_api.schemas import Problem, Schema
from scopebook_api.steer_schemas import Number, PositionsRequest

_Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
_Words = Annotated[str, Field(max_length=10_000)]


class _Body(Schema):
    model_config = ConfigDict(extra="forbid")


class GroupShape(Schema):
    """Features that are one concept, and what their changes are multiplied by."""

    name: _Name
    strength: Number = 1.0


class PresetInterventionShape(Schema):
    """What is to be done to a feature."""

    feature: str = Field(max_length=1_000, description="`{model}/{layer}-{set}/{index}`.")
    op: Op = "add"
    value: Number | None = Field(None, description="None for `ablate`.")
    unit: Unit = "max_act"
    group: _Name | None = Field(None, description="Whose strength multiplies the change.")
    enabled: bool = Field(True, description="One that is not stays and does nothing.")

    def drafted(self) -> DraftIntervention:
        """Return it as the dictionary takes it."""
        said = self.model_dump(include={"feature", "op", "value", "unit"})
        return DraftIntervention(
            intervention=Intervention(**said), group=self.group, enabled=self.enabled
        )


class PresetTestShape(Schema):
    """Prompts that the model goes on with, and what is expected of what it writes."""

    name: _Name
    prompts: list[Annotated[str, Field(max_length=LONGEST_PROMPT)]] = Field(
        min_length=1, max_length=MOST_PROMPTS
    )
    measure: Measure = Field(
        description="`script`: the share of letters of a script. `activation`: a feature's mean "
        "over what is written. `text`: the share of texts that hold it. `distinct`: the share of "
        "different tokens. `divergence`: mean KL of the next token on texts of the corpus, in nats."
    )
    of: str | None = Field(
        None, max_length=1_000, description="A script by its Unicode name, a feature, or a text."
    )
    expect: Expectation = Field(
        description="`below`, `above`: than the value. `falls`, `rises`: from what is written "
        "unsteered, by the value at least."
    )
    value: Number
    samples: int = Field(1, ge=1, le=16, description="Texts for each prompt, of their own seeds.")
    tokens: int = Field(40, ge=1, le=1_000)
    temperature: float = Field(0.0, ge=0, le=100, allow_inf_nan=False)
    seed: int = Field(0, ge=0, lt=2**31)


class DraftShape(Schema):
    """All that a version of a preset says."""

    interventions: list[PresetInterventionShape] = Field(min_length=1, max_length=MOST_FEATURES)
    groups: list[GroupShape] = Field(default_factory=list, max_length=MOST_GROUPS)
    positions: PositionsRequest = Field(default_factory=lambda: PositionsRequest())
    tests: list[PresetTestShape] = Field(default_factory=list, max_length=MOST_TESTS)

    def drafted(self) -> PresetDraft:
        """Return it as the dictionary takes it."""
        return PresetDraft(
            interventions=[one.drafted() for one in self.interventions],
            groups=[Group(**one.model_dump()) for one in self.groups],
            positions=Positions(**self.positions.model_dump()),
            tests=[PresetTest(**one.model_dump()) for one in self.tests],
        )


def draft_shape(draft: PresetDraft) -> DraftShape:
    """Return a draft as JSON holds it."""
    return DraftShape(
        interventions=[
            PresetInterventionShape(
                feature=one.intervention.feature,
                op=one.intervention.op,
                value=one.intervention.value,
                unit=one.intervention.unit,
                group=one.group,
                enabled=one.enabled,
            )
            for one in draft.interventions
        ],
        groups=[GroupShape(name=one.name, strength=one.strength) for one in draft.groups],
        positions=PositionsRequest(
            prompt=draft.positions.prompt,
            written=draft.positions.written,
            special=draft.positions.special,
        ),
        tests=[PresetTestShape(**one.as_json()) for one in draft.tests],
    )


class PresetRead(Schema):
    """A preset without what its versions say."""

    id: int
    key: str = Field(description="What its exports call it wherever they are read.")
    name: str
    description: str
    owner: str
    release: str
    model: str
    visible_to: Audience = Field(description="The least role that sees it; `owner`: nobody else.")
    archived: bool
    revision: int = Field(description="For `If-Match`; counts all changes.")
    version: int = Field(description="The newest.")
    features: int = Field(description="How many the newest version changes.")
    status: Status = Field(description="Of the newest version.")
    approved: int | None = Field(description="The newest version that is.")
    forked_from: int | None = Field(description="The version (its `id`) that it was made from.")
    mine: bool = Field(description="Whether who asks may change it.")
    created_at: datetime
    changed_at: datetime


class StalePresetProblem(Problem):
    """A problem (RFC 9457) with the preset as it is now: save yours after it, or drop it."""

    current: PresetRead


class PresetRequest(_Body):
    """A preset to be made, with its first version."""

    name: _Name
    description: _Words = ""
    visible_to: Audience = "viewer"
    note: _Words = Field("", description="Why the version is made.")
    release: str | None = Field(
        None, description="Held against that of the features, where it is given."
    )
    draft: DraftShape


class PresetChange(_Body):
    """What is to be different; what is left out stays."""

    name: _Name | None = None
    description: _Words | None = None
    visible_to: Audience | None = None
    archived: bool | None = None


class VersionRequest(_Body):
    """A version to be added."""

    draft: DraftShape
    note: _Words = ""


class StatusRequest(_Body):
    """Whether a version is approved."""

    status: Status
    note: _Words = ""


class ForkRequest(_Body):
    """What the preset that is made of a version is called."""

    name: _Name


class ImportRequest(_Body):
    """A `preset.json` of an export, or Neuronpedia's JSON of steering, to become a preset here."""

    document: dict[str, Any] = Field(
        description="`steering-preset/1.0`; or `{modelId, features: [{modelId, layer, index, "
        "strength}], strength_multiplier}`."
    )
    name: _Name | None = Field(None, description="Instead of the document's own.")
    visible_to: Audience = "viewer"


class VersionSummary(Schema):
    """A version without what it says."""

    id: int
    number: int
    author: str
    note: str
    status: Status
    decided_by: str | None = Field(description="Who decided on its status last.")
    decided_why: str | None
    sha256: str = Field(description="Over the canonical form of what it says.")
    created_at: datetime


class VersionRead(VersionSummary):
    """A version with all that it says."""

    draft: DraftShape = Field(description="To be changed and saved as the next version.")
    document: dict[str, Any] = Field(description="`preset.json`: `steering-preset/1.0`.")
    warnings: list[str] = Field(description="What has changed since it was saved.")


class PresetDifferenceRead(Schema):
    """A line of a comparison of two versions."""

    what: str
    before: str | None = Field(description="Null: it was not there.")
    after: str | None = Field(description="Null: it is not there any more.")


class PresetDiffRead(Schema):
    """What two versions say differently."""

    before: int
    after: int
    changes: list[PresetDifferenceRead]


class TargetRead(Schema):
    """What a target would make of a version."""

    name: str
    title: str
    good_for: str
    files: list[str]
    verifies: bool = Field(description="Whether the bundle can prove that the tool steers so.")
    refusals: list[str] = Field(description="Why it cannot be exported; nothing: it can.")
    losses: list[str] = Field(description="What the target's files do not carry.")


class ExportRequest(_Body):
    """Tools to write files for."""

    targets: list[Annotated[str, Field(max_length=40)]] = Field(min_length=1, max_length=20)


class ExportRead(Schema):
    """A version compiled for a target; without a hash until its job is done."""

    id: int
    version: int
    target: str
    job_id: int
    sha256: str | None
    size_bytes: int | None
    created_at: datetime


class PruneRequest(_Body):
    """Which test must go on to hold while features are left out."""

    test: _Name
    group: _Name | None = Field(None, description="Whose features are left out; null: all.")


class MeasuredTextRead(Schema):
    """What was written for a prompt of a test."""

    prompt: str
    unsteered: str
    steered: str


class PresetTestFoundRead(Schema):
    """How a test went."""

    name: str
    sentence: str = Field(description="What was expected.")
    unsteered: float | None
    steered: float | None
    holds: bool
    texts: list[MeasuredTextRead]


class MemberFoundRead(Schema):
    """What a feature of a group does by itself, and what the others do without it."""

    feature: str
    alone: float = Field(description="What the test measures with this feature alone.")
    without: float = Field(description="With all of the group but this.")
    kept: bool


class PruneFoundRead(Schema):
    """The smallest part of a group that still passes a test."""

    test: str
    group: str | None
    sentence: str
    unsteered: float
    whole: float = Field(description="What the test measures with all features.")
    pruned: float = Field(description="With those that are kept.")
    members: list[MemberFoundRead]


class ReportRead(Schema):
    """What a job measured of a version; neither of both until it is done."""

    id: int
    version: int
    kind: Literal["test", "prune"]
    job_id: int
    tests: list[PresetTestFoundRead] | None
    pruning: PruneFoundRead | None
    created_at: datetime
