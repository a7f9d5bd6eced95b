"""What the API answers of searchs; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.feature import ExampleRead, LabelRead, OutcomeRead


class CountRead(TypedDict):
    """A value of a facet with how many features have it; of numbers, a range."""

    value: str
    count: int
    low: float | None
    high: float | None


class FacetsRead(TypedDict):
    """Counts of what filters would leave."""

    of: int
    more: bool
    facets: dict[str, list[CountRead]]


class PieceRead(TypedDict):
    """A part of a text."""

    text: str
    matches: bool


class SearchHit(TypedDict):
    """A feature that answers a search."""

    id: str
    model: str
    release: str
    layer: int
    set_name: str
    index: int
    label: LabelRead | None
    unlabelled: OutcomeRead | None
    density: float | None
    max_activation: float | None
    flags: list[str]
    preview: ExampleRead | None
    score: float
    matched: list[Literal["id", "words", "meaning"]]
    similarity: float | None
    why: WhyRead | None


class SearchPage(TypedDict):
    """Features that answer a search, best first."""

    items: list[SearchHit]
    next: str | None
    meant: dict[str, list[str]]


class WhyRead(TypedDict):
    """The label that a feature was found by."""

    label_id: int
    sense: int | None
    text: list[PieceRead]
    description: list[PieceRead] | None
