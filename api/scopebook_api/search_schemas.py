"""The JSON of searches: hits with why they were found, and facets."""

from typing import Literal

from pydantic import Field

from scopebook.facets import Facet
from scopebook_api.schemas import FeatureSummary, Page, Schema


class PieceRead(Schema):
    """A part of a text."""

    text: str
    matches: bool = Field(description="Whether it is what the query asks for.")


class WhyRead(Schema):
    """The label that a feature was found by."""

    label_id: int
    sense: int | None = Field(description="The sense that it words; null: the whole feature.")
    text: list[PieceRead] = Field(description="The label, in pieces.")
    description: list[PieceRead] | None = Field(
        description="Its description where words of the query stand there."
    )


class SearchHit(FeatureSummary):
    """A feature that answers a search."""

    score: float = Field(description="Fused rank score, higher is better; compares one answer.")
    matched: list[Literal["id", "words", "meaning"]] = Field(description="Why it was found.")
    similarity: float | None = Field(description="Cosine of label and query; null: not near.")
    why: WhyRead | None = Field(description="The label that matched; null: found by its id.")


class SearchPage(Page[SearchHit]):
    """Features that answer a search, best first."""

    meant: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Words that no label holds, each with the like ones that were searched too.",
    )


class CountRead(Schema):
    """A value of a facet with how many features have it; of numbers, a range."""

    value: str
    count: int
    low: float | None = None
    high: float | None = None


class FacetsRead(Schema):
    """Counts of what filters would leave."""

    of: int = Field(description="Features that were counted: those that answer best.")
    more: bool = Field(description="Whether further features may answer that were not counted.")
    facets: dict[Facet, list[CountRead]]
