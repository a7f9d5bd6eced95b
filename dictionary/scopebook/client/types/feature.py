"""What the API answers of features; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.examples import Piece


class Activity(TypedDict):
    """A context that fired a feature, by its document."""

    context_id: int
    document: DocumentRead
    position: float


class AlikePage(TypedDict):
    """Features of a release that are labelled nearly the same as one, the nearest first."""

    items: list[AlikeRead]
    next: str | None
    total: int


class AlikeRead(TypedDict):
    """A feature that is labelled nearly the same; both keep their labels."""

    id: str
    layer: int
    set_name: str
    index: int
    cosine: float
    label: LabelRead
    own: LabelRead
    direction: float | None


class CoFiringRead(TypedDict):
    """What fires together with a feature, counted token by token in contexts of the corpus."""

    contexts: int
    tokens: int
    fires: int
    partners: list[PartnerRead]


class CorpusRead(TypedDict):
    """A registered body of text."""

    id: int
    name: str
    documents: int
    near_duplicates: int
    size_bytes: int
    tags: dict[str, int]
    created_at: str
    deletion_job_id: int | None


class DocumentRead(TypedDict):
    """Where a text comes from."""

    id: int
    name: str
    title: str | None
    tag: str | None
    language: str | None
    source: str | None
    licence: str | None


class ExampleRead(TypedDict):
    """A context that fires the feature."""

    context_id: int
    kind: Literal["best", "sample"]
    activation: float
    quantile: float | None
    sense: int | None
    peak: int
    tokens: list[Piece]
    cut_left: bool
    cut_right: bool
    document: DocumentRead
    typical: int | None
    held_out: bool


class FeatureRead(TypedDict):
    """Everything known of a feature."""

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
    decoder_norm: float
    promoted: list[TokenWeight]
    suppressed: list[TokenWeight]
    neighbours: list[NeighbourRead]
    co_firing: CoFiringRead | None
    statistics: Statistics | None
    senses: list[SenseRead]
    labels: list[LabelRead]
    scores: list[ScoreRead]
    kind: Literal["token", "position", "context"] | None
    unassigned: float | None
    resolution: ResolutionRead | None
    asked: int
    ineligible: str | None
    examples: list[ExampleRead]
    previous: str | None
    following: str | None
    caution: str | None


class FeatureSummary(TypedDict):
    """A feature in a list."""

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


class FeaturesRead(TypedDict):
    """Features that were asked for by their ids."""

    items: list[FeatureSummary]
    missing: list[MissingFeature]


class FeaturesRequest(TypedDict):
    """Features by their ids."""

    features: list[str]
    preview: NotRequired[bool]


class Histogram(TypedDict):
    """Counts between neighbouring edges; `len(edges) == len(counts) + 1`, log-spaced."""

    edges: list[float]
    counts: list[int]


class LabelRead(TypedDict):
    """A proposed wording of a feature or of some of its senses."""

    id: int
    text: str
    description: str | None
    kind: str | None
    confidence: float | None
    source: Literal["keywords", "llm", "person", "import"]
    method: str
    status: Literal["ok", "suspect"]
    senses: list[int]
    n_examples: int | None
    author: str | None
    labeling_id: int | None
    current: bool
    created_at: str


class MissingFeature(TypedDict):
    """An id that names no feature."""

    id: str
    reason: str


class NeighbourRead(TypedDict):
    """A feature whose decoder direction is close."""

    id: str
    layer: int
    set_name: str
    index: int
    cosine: float
    label: LabelRead | None


class OutcomeRead(TypedDict):
    """That a language model was asked, and why it has given no label."""

    status: Literal["suspect", "abstained", "refused", "failed"]
    reason: str | None
    method: str
    created_at: str


class PartnerRead(TypedDict):
    """A feature of the same layer that fires on the same tokens."""

    id: str
    layer: int
    set_name: str
    index: int
    share: float
    label: LabelRead | None


class Problem(TypedDict):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None


class ReleaseRead(TypedDict):
    """A published set of SAEs for a model."""

    name: str
    model: str
    width: int
    k: int | None
    source: str
    revision: str | None
    caution: str | None
    saes: list[SaeRead]


class ResolutionRead(TypedDict):
    """How far to trust the senses of an SAE's features, tried on the features themselves."""

    split_rate: float
    conflated_ari: float
    parted_rate: float
    n_single: int
    n_pairs: int
    coarse: bool


class SaeRead(TypedDict):
    """One layer of a release."""

    layer: int
    set_name: str
    kind: Literal["topk", "threshold", "relu"]
    features: int
    alive: int | None
    labelled: int
    corpus: str | None
    tokens_seen: int | None


class ScoreRead(TypedDict):
    """A measured quality of a label, on examples that nobody who worded it has seen."""

    label_id: int
    scorer: str
    scorer_version: str
    judge: str
    value: float
    ci_low: float | None
    ci_high: float | None
    null_value: float | None
    f1: float | None
    n_pos: int
    n_neg_random: int
    n_neg_hard: int
    n_failed: int
    details: dict[str, Any]
    created_at: str


class SenseRead(TypedDict):
    """A cluster of a feature's examples that mean one thing."""

    ordinal: int
    share: float
    keywords: list[str]
    silhouette: float | None
    label: LabelRead | None


class Statistics(TypedDict):
    """What one collection measured of a feature."""

    run_id: int
    corpus: str
    tokens_seen: int
    contexts_seen: int
    count: int
    contexts: int
    density: float
    mean: float
    max: float
    histogram: Histogram
    top_tokens: list[TokenWeight]
    top_tokens_exact: bool
    first_seen: Activity | None
    last_seen: Activity | None
    tags: list[TagShare]


class TagShare(TypedDict):
    """How often a tag occurs among a feature's firing contexts."""

    tag: str
    share: float
    lift: float


class TokenWeight(TypedDict):
    """A vocabulary entry with a number."""

    token_id: int
    text: str
    value: float
