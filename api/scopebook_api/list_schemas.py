"""The JSON of lists."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from scopebook.lists import LONGEST_NAME, MOST_AT_ONCE
from scopebook_api.schemas import FeatureSummary, Schema

_Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
_Words = Annotated[str, Field(max_length=10_000)]
FeatureName = Annotated[
    str, Field(max_length=1_000, description="`{model}/{layer}-{set}/{index}`.")
]
_Search = Annotated[
    dict[str, Any] | None,
    Field(description="Parameters of `GET /api/search` that are kept; null: none."),
]


class _Body(Schema):
    model_config = ConfigDict(extra="forbid")


class ListRead(Schema):
    """A list without its items."""

    id: int
    name: str
    description: str
    owner: str
    shared: bool = Field(description="Whether all who may come in see it.")
    search: dict[str, Any] | None
    features: int = Field(description="How many it has.")
    version: int = Field(description="For `If-Match`; counts changes of all but its items.")
    mine: bool = Field(description="Whether who asks may change it.")
    created_at: datetime
    changed_at: datetime


class ListRequest(_Body):
    """A list to be made."""

    name: _Name
    description: _Words = ""
    shared: bool = False
    search: _Search = None
    features: list[FeatureName] = Field(default_factory=list, max_length=MOST_AT_ONCE)


class ListChange(_Body):
    """What is to be different; what is left out stays."""

    name: _Name | None = None
    description: _Words | None = None
    shared: bool | None = None
    search: _Search = None


class ItemRead(Schema):
    """A feature in a list."""

    feature: FeatureSummary
    note: str
    added_by: str
    added_at: datetime


class AddRequest(_Body):
    """Features for the end of a list."""

    features: Annotated[list[FeatureName], Field(min_length=1, max_length=MOST_AT_ONCE)]
    note: _Words = ""


class AdditionRead(Schema):
    """How many features came in."""

    added: int
    present: int = Field(description="Were there already, and stay where they are.")


class MoveRequest(_Body):
    """A new place for a feature, or a new note beside it."""

    feature: FeatureName
    after: FeatureName | None = Field(default=None, description="Null: it comes first.")


class NoteRequest(_Body):
    """Why a feature is in the list."""

    feature: FeatureName
    note: _Words


class RemoveRequest(_Body):
    """A feature that goes."""

    feature: FeatureName
