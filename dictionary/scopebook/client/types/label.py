"""What the API answers of labels; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.feature import (
        ExampleRead,
        FeatureSummary,
        Histogram,
        LabelRead,
        ResolutionRead,
        ScoreRead,
    )


class CoverageRead(TypedDict):
    """How many of a layer's features have a label, and of whom."""

    release: str
    model: str
    layer: int
    set_name: str
    features: int
    fired: int | None
    by_source: dict[str, int]
    labelings: list[LabelingRead]
    resolution: ResolutionRead | None


class DriftRead(TypedDict):
    """Two labelings of one layer, compared."""

    first_id: int
    second_id: int
    first_method: str
    second_method: str
    outcomes: dict[str, int]
    both: int
    gained: int
    lost: int
    compared: int
    same: int
    median_cosine: float | None
    score_changes: dict[str, list[Any]]
    items: list[FeatureDriftRead]
    next: str | None


class FeatureDriftRead(TypedDict):
    """A feature that two labelings word."""

    id: str
    cosine: float
    first: str
    second: str


class LabelRequest(TypedDict):
    """Which features are to be labelled."""

    release: str
    layers: NotRequired[list[int] | None]
    features: NotRequired[list[int] | None]
    anew: NotRequired[bool]
    llm: NotRequired[LanguageModelRequest | None]
    embedder: NotRequired[str | None]
    embedder_model: NotRequired[str | None]


class LabelingRead(TypedDict):
    """One pass over the features of a layer, that words the examples of one run."""

    id: int
    job_id: int | None
    run_id: int
    source: Literal["keywords", "llm"]
    method: str
    parameters: dict[str, Any]
    created_at: str
    finished_at: str | None
    outcomes: dict[str, int]


class LanguageModelRequest(TypedDict):
    """Which language model words the features, and what that may take."""

    endpoint: str
    model: str
    parallel: NotRequired[int | None]
    limit: NotRequired[int | None]
    budget_tokens: NotRequired[int | None]
    budget_usd: NotRequired[float | None]
    price_in: NotRequired[float | None]
    price_cached: NotRequired[float | None]
    price_out: NotRequired[float | None]


class NamedServerRead(TypedDict):
    """A server of language models that the settings name."""

    endpoint: str
    model: str | None


class OriginRead(TypedDict):
    """What a language model was asked about a feature, and what came of it."""

    labeling_id: int
    job_id: int | None
    status: Literal["ok", "suspect", "ineligible", "abstained", "refused", "failed"]
    reason: str | None
    endpoint: str | None
    model_requested: str
    model_reported: str | None
    system_fingerprint: str | None
    prompt_version: str | None
    prompt_sha256: str
    rules: str | None
    temperature: float | None
    seed: int | None
    attempts: int
    latency_ms: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    finish_reason: str | None
    error_class: str | None
    raw_response: str
    shown: list[ExampleRead]
    contrasts: list[ExampleRead]
    created_at: str


class ScoreDistributionRead(TypedDict):
    """The newest scores that one scorer gave the labels in force."""

    scorer: str
    scored: dict[str, int]
    unscored: dict[str, int]
    histogram: Histogram
    median: float
    null_value: float | None


class ScoredLabelRead(TypedDict):
    """A label in force with a score, and the feature it speaks of."""

    feature: FeatureSummary
    label: LabelRead
    score: ScoreRead


class ScoresRead(TypedDict):
    """How the labels in force are scored; `items` are those of `scorer`, the worst first."""

    items: list[ScoredLabelRead]
    next: str | None
    labels: dict[str, int]
    distributions: list[ScoreDistributionRead]
    scorer: str | None


class ServersRead(TypedDict):
    """The servers that whoever asks may have word labels."""

    items: list[NamedServerRead]
    next: str | None
    others: bool
