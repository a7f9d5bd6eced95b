"""What the API says of labels' coverage, and how labels are asked for."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from scopebook_api.schemas import Schema


class LabelingRead(Schema):
    """One pass over the features of a layer, that words the examples of one run."""

    id: int
    job_id: int | None
    run_id: int
    source: Literal["keywords", "llm"]
    method: str = Field(description="What words it, e.g. `keywords-1` or a model's name.")
    parameters: dict[str, Any] = Field(description="What the wordings depend on.")
    created_at: datetime
    finished_at: datetime | None
    outcomes: dict[str, int] = Field(description="Features by how it ended for them.")


class CoverageRead(Schema):
    """How many of a layer's features have a label, and of whom."""

    release: str
    model: str
    layer: int
    set_name: str
    features: int
    fired: int | None = Field(description="Features that fire in the shown run; null: none.")
    by_source: dict[str, int] = Field(description="Features by the source of their label.")
    labelings: list[LabelingRead] = Field(description="Of the shown run, newest first.")


class LanguageModelRequest(Schema):
    """Which language model words the features, and what that may take."""

    endpoint: str = Field(
        pattern="^https?://",
        description="Base URL of an OpenAI-compatible server; without a key, which is a setting.",
    )
    model: str
    parallel: int | None = Field(default=None, ge=1, le=1024)
    limit: int | None = Field(default=None, ge=1, description="Features of each layer.")
    budget_tokens: int | None = Field(default=None, ge=1)
    budget_usd: float | None = Field(default=None, gt=0)
    price_in: float | None = Field(default=None, ge=0, description="US dollars a million tokens.")
    price_cached: float | None = Field(default=None, ge=0)
    price_out: float | None = Field(default=None, ge=0)


class LabelRequest(Schema):
    """Which features are to be labelled."""

    release: str
    layers: list[int] | None = Field(default=None, description="Null: all with examples.")
    anew: bool = Field(
        default=False, description="Word the examples though the same method has done so."
    )
    llm: LanguageModelRequest | None = Field(default=None, description="Null: keywords alone.")


class FeatureDriftRead(Schema):
    """A feature that two labelings word."""

    id: str
    cosine: float = Field(description="Of the labels' vectors, senses matched: 1 is the same.")
    first: str
    second: str


class DriftRead(Schema):
    """Two labelings of one layer, compared."""

    first_id: int
    second_id: int
    first_method: str
    second_method: str
    outcomes: dict[str, int] = Field(
        description="Features by how both ended for them, e.g. `ok, abstained`."
    )
    compared: int = Field(description="Features both of whose labels have vectors.")
    same: int = Field(description="Of these, those whose labels mean the same: cosine 0.9 or more.")
    median_cosine: float | None
    score_changes: dict[str, tuple[float, int]] = Field(
        description="By scorer: mean change on the same windows, and over how many labels."
    )
    items: list[FeatureDriftRead] = Field(description="Farthest drifted first.")
    next: str | None
