"""What the API says of labels' coverage, and how labels are asked for."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from scopebook_api.schemas import (
    ExampleRead,
    FeatureSummary,
    Histogram,
    LabelRead,
    LabelSource,
    Page,
    ResolutionRead,
    Schema,
    ScoreRead,
)


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
    resolution: ResolutionRead | None = Field(
        description="How far senses can be trusted, by the newest sorting; null: not measured."
    )


class OriginRead(Schema):
    """What a language model was asked about a feature, and what came of it."""

    labeling_id: int
    job_id: int | None
    status: Literal["ok", "suspect", "ineligible", "abstained", "refused", "failed"]
    reason: str | None = Field(description="Why there is no label, or a suspect one.")
    endpoint: str | None = Field(description="The server that was asked; never with a key.")
    model_requested: str
    model_reported: str | None = Field(description="The model as its server names it.")
    system_fingerprint: str | None
    prompt_version: str | None
    prompt_sha256: str = Field(description="Of all that was sent.")
    rules: str | None = Field(description="What all requests of the labeling begin with.")
    temperature: float | None
    seed: int | None
    attempts: int = Field(description="Requests, those that failed included.")
    latency_ms: int
    tokens_in: int
    tokens_cached: int = Field(description="Of `tokens_in`, those the server had kept.")
    tokens_out: int
    finish_reason: str | None
    error_class: str | None = Field(description="Why there is no answer; null: there is one.")
    raw_response: str
    shown: list[ExampleRead] = Field(description="What the model read, cut around the peaks.")
    contrasts: list[ExampleRead] = Field(
        description="Like texts that it read in which the feature is silent; no activations."
    )
    created_at: datetime


class ScoreDistributionRead(Schema):
    """The newest scores that one scorer gave the labels in force."""

    scorer: str
    scored: dict[str, int] = Field(description="Labels with such a score, by their source.")
    unscored: dict[str, int] = Field(description="Labels without, by their source.")
    histogram: Histogram = Field(description="20 bins of equal width from 0 to 1.")
    median: float
    null_value: float | None = Field(
        description="Mean of what it gives labels of other features; null: not measured."
    )


class ScoredLabelRead(Schema):
    """A label in force with a score, and the feature it speaks of."""

    feature: FeatureSummary
    label: LabelRead
    score: ScoreRead


class ScoresRead(Page[ScoredLabelRead]):
    """How the labels in force are scored; `items` are those of `scorer`, the worst first."""

    labels: dict[str, int] = Field(description="Labels in force, by their source.")
    distributions: list[ScoreDistributionRead]
    scorer: str | None = Field(description="Null: nothing is scored.")


class NamedServerRead(Schema):
    """A server of language models that the settings name."""

    endpoint: str
    model: str | None = Field(description="The model that the settings name with it; null: none.")


class ServersRead(Page[NamedServerRead]):
    """The servers that whoever asks may have word labels."""

    others: bool = Field(description="Whether any other server may be named, too.")


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
    features: list[Annotated[int, Field(ge=0, lt=2**31)]] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="Numbers of features of the one layer that is named; null: all of them.",
    )
    anew: bool = Field(
        default=False, description="Word the examples though the same method has done so."
    )
    llm: LanguageModelRequest | None = Field(default=None, description="Null: keywords alone.")
    embedder: str | None = Field(
        default=None,
        max_length=500,
        pattern=r"^(https?://.+|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?)$",
        description="What finds the senses: `terms`, `residual` (what the model itself makes of "
        "the firing token), a sentence-transformers model of the hub, or the base URL of an "
        "OpenAI-style embeddings server; without a key, which is a setting. Null: `terms`.",
    )
    embedder_model: str | None = Field(
        default=None, min_length=1, max_length=500, description="The model's name at that URL."
    )


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
    both: int = Field(description="Features that both have labelled.")
    gained: int = Field(
        description="Features that both have tried and the second alone has labelled."
    )
    lost: int = Field(description="Features that both have tried and the first alone has labelled.")
    compared: int = Field(description="Features both of whose labels have vectors.")
    same: int = Field(description="Of these, those whose labels mean the same: cosine 0.9 or more.")
    median_cosine: float | None
    score_changes: dict[str, tuple[float, int]] = Field(
        description="By scorer: mean change on the same windows, and over how many labels."
    )
    items: list[FeatureDriftRead] = Field(description="Farthest drifted first.")
    next: str | None


class LabelLineRead(Schema):
    """One line of the stream of labels: a label in force."""

    feature: str = Field(description="`{model}/{layer}-{set}/{index}`.")
    release: str
    layer: int
    set_name: str
    index: int
    label_id: int
    text: str
    description: str | None
    kind: str | None
    confidence: float | None
    senses: list[int] = Field(description="The senses it words, by ordinal; none: the feature.")
    share: float | None = Field(description="Of the clustered examples that are in its senses.")
    source: LabelSource
    method: str
    author: str | None
    n_examples: int | None
    labeling_id: int | None
    created_at: datetime
    scores: list[dict[str, Any]] = Field(
        description="Each as in a feature's `scores`, but for `label_id` and `details`."
    )
