"""What the API answers of lists; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.feature import FeatureSummary


class AddRequest(TypedDict):
    """Features for the end of a list."""

    features: list[str]
    note: NotRequired[str]


class AdditionRead(TypedDict):
    """How many features came in."""

    added: int
    present: int


class ItemRead(TypedDict):
    """A feature in a list."""

    feature: FeatureSummary
    note: str
    added_by: str
    added_at: str


class ListChange(TypedDict):
    """What is to be different; what is left out stays."""

    name: str | None
    description: str | None
    shared: bool | None
    search: dict[str, Any] | None


class ListRead(TypedDict):
    """A list without its items."""

    id: int
    name: str
    description: str
    owner: str
    shared: bool
    search: dict[str, Any] | None
    features: int
    version: int
    mine: bool
    created_at: str
    changed_at: str


class ListRequest(TypedDict):
    """A list to be made."""

    name: str
    description: NotRequired[str]
    shared: NotRequired[bool]
    search: NotRequired[dict[str, Any] | None]
    features: NotRequired[list[str]]


class MoveRequest(TypedDict):
    """A new place for a feature, or a new note beside it."""

    feature: str
    after: NotRequired[str | None]


class NoteRequest(TypedDict):
    """Why a feature is in the list."""

    feature: str
    note: str


class RemoveRequest(TypedDict):
    """A feature that goes."""

    feature: str
