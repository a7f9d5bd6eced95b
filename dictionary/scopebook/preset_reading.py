"""Read preset documents and tests that people give or a database holds, of whatever types."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from scopebook.db.preset_tables import PresetVersion
from scopebook.errors import ConflictError, InvalidInputError
from scopebook.preset_drafts import MOST_GROUPS
from scopebook.preset_tests import MOST_TESTS, Expectation, Measure, PresetTest
from scopebook.steering import MOST_FEATURES, Op, PromptPosition, Unit

#: Numbers that a file may hold: an activation can be a million times what people type.
_Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
_Words = Annotated[str, Field(max_length=10_000)]
_Name = Annotated[str, Field(max_length=1_000)]
#: What goes into a command that people copy.
_Source = Annotated[str, Field(max_length=500, pattern=r"^[\w./-]*$")]


class _Part(BaseModel):
    """A part of a file; keys that nobody knows are left out."""

    model_config = ConfigDict(strict=True)


class _Test(_Part):
    name: _Name
    prompts: list[Annotated[str, Field(max_length=1_000_000)]] = Field(max_length=1_000)
    measure: Measure
    of: Annotated[str, Field(max_length=10_000)] | None = None
    expect: Expectation
    value: _Number
    samples: int = 1
    tokens: int = 40
    temperature: _Number = 0.0
    seed: int = 0


class _Group(_Part):
    name: _Name
    strength: _Number


class _Amount(_Part):
    value: _Number
    absolute: _Number
    unit: Unit | None = None
    max_act: _Number | None = None
    d_norm: _Number | None = None
    resid_norm: _Number | None = None
    stats_ref: _Words | None = None


class _Intervention(_Part):
    id: _Name
    sae: _Name
    feature: int
    op: Op
    group: _Name | None
    enabled: bool
    strength: _Amount | None = None
    target: _Amount | None = None
    factor: _Amount | None = None


class _Sae(_Part):
    ref: _Name
    release: _Source
    source: _Source
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    layer: Annotated[int, Field(ge=0, le=10_000)]


class _Positions(_Part):
    prompt: PromptPosition
    generation: Literal["all", "none"]
    exclude_special_tokens: bool


class _Model(_Part):
    id: _Name
    revision: _Name | None
    weights_sha256: _Name | None


class _Document(_Part):
    schema_: Literal["steering-preset/1.0"] = Field(alias="schema")
    name: str | None = None
    description: _Words | None = None
    version: int | None = None
    model: _Model
    sae: list[_Sae] = Field(min_length=1, max_length=1_000)
    groups: list[_Group] = Field(max_length=MOST_GROUPS)
    interventions: list[_Intervention] = Field(min_length=1, max_length=MOST_FEATURES)
    positions: _Positions
    tests: list[_Test] = Field(max_length=MOST_TESTS)


_TESTS: Final = TypeAdapter(list[_Test])


def read_document(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a preset document with what is known of its keys; refuse what is none."""
    try:
        read = _Document.model_validate(dict(given))
    except (ValidationError, OverflowError) as error:
        raise InvalidInputError(
            f"The document is no complete preset ({_first(error)}); give a preset.json as "
            "Scopebook has exported it."
        ) from error
    return read.model_dump(by_alias=True, exclude_none=False)


def kept_document(version: PresetVersion) -> dict[str, Any]:
    """Return a version's document; refuse one that a hand at the database has broken."""
    try:
        read = _Document.model_validate(version.document)
        unknown = {one.sae for one in read.interventions} - {one.ref for one in read.sae}
        fault = "interventions: they name an SAE that it does not pin" if unknown else None
    except (ValidationError, OverflowError) as error:
        fault = _first(error)
    if fault:
        raise ConflictError(
            f"Version {version.number} of preset {version.preset_id} cannot be read, since its row "
            f"in the database is not as Scopebook wrote it ({fault}); bring it back from a backup."
        )
    return version.document


def read_tests(given: object, which: str) -> list[PresetTest]:
    """Return the tests of a file, which `which` names; refuse what is none."""
    try:
        read = _TESTS.validate_python(given)
    except (ValidationError, OverflowError) as error:
        raise InvalidInputError(
            f"{which} holds no list of tests ({_first(error)}); give "
            '[{"name": ..., "prompts": [...], "measure": "script", "of": "Han", "expect": "below", '
            '"value": 0.05}].'
        ) from error
    return [PresetTest(**one.model_dump()) for one in read]


def _first(error: Exception) -> str:
    """Return the first thing that is wrong, without what was given."""
    if not isinstance(error, ValidationError):
        return "a number is too large"
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in fault["loc"]) or "the file"
    return f"{where}: {fault['msg']}"
