"""The JSON that goes in and out, as pydantic models.

Activations are in units of the residual stream (the SAE's own), densities and shares lie in 0..1,
times are UTC.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from scopebook.examples import Piece

Item = TypeVar("Item")

#: What stands in answers as it is, without a model of its own here.
WRITTEN_AS_IS: Final[tuple[type, ...]] = (Piece,)

#: Where a label's wording comes from.
LabelSource = Literal["keywords", "llm", "person", "import"]
LabelStatus = Literal["ok", "suspect"]


class Schema(BaseModel):
    """Reads attributes of rows and dataclasses as well as mappings."""

    model_config = ConfigDict(from_attributes=True)


class Page(Schema, Generic[Item]):
    """One page of a list; `next` is the cursor of the following page or null."""

    items: list[Item]
    next: str | None = None


class LabelRead(Schema):
    """A proposed wording of a feature or of some of its senses."""

    id: int
    text: str
    description: str | None
    kind: str | None = Field(description="What it names: token, lexeme, topic, format, ...")
    confidence: float | None = Field(description="What a language model gave itself, 0 to 1.")
    source: LabelSource
    method: str = Field(description="What made it, e.g. `keywords-1` or a model's name.")
    status: LabelStatus = Field(
        description="A suspect label does not fit its own held-out examples."
    )
    senses: list[int] = Field(description="The senses it words, by ordinal; none: the feature.")
    n_examples: int | None = Field(description="Examples it was made from.")
    author: str | None
    labeling_id: int | None = Field(
        description="The labeling that said it; null: a person or an import."
    )
    current: bool = Field(description="Whether this is the wording in force.")
    created_at: datetime


class ScoreRead(Schema):
    """A measured quality of a label, on examples that nobody who worded it has seen."""

    label_id: int
    scorer: str = Field(
        description="`detection`, `fuzzing`, `union`, `intruder`, `embedding` or `support`."
    )
    scorer_version: str
    judge: str = Field(description="The model that judged, or the embedder.")
    value: float = Field(description="0 to 1, higher is better; what it is depends on the scorer.")
    ci_low: float | None = Field(description="Of the 95 % interval.")
    ci_high: float | None
    null_value: float | None = Field(
        description="What the scorer gives labels of other features; null: not measured."
    )
    f1: float | None
    n_pos: int = Field(description="Windows that fire the feature.")
    n_neg_random: int
    n_neg_hard: int = Field(description="Windows that resemble those, and do not fire it.")
    n_failed: int = Field(description="Answers that could not be read; they count as wrong.")
    details: dict[str, Any] = Field(description="Further figures of the scorer, by name.")
    created_at: datetime


class OutcomeRead(Schema):
    """That a language model was asked, and why it has given no label."""

    status: Literal["suspect", "abstained", "refused", "failed"]
    reason: str | None
    method: str = Field(description="The model.")
    created_at: datetime


class DocumentRead(Schema):
    """Where a text comes from."""

    id: int
    name: str
    title: str | None
    tag: str | None
    language: str | None
    source: str | None
    licence: str | None


class ExampleRead(Schema):
    """A context that fires the feature."""

    context_id: int
    kind: Literal["best", "sample"]
    activation: float = Field(description="The feature's largest activation in the context.")
    quantile: float | None = Field(
        description="Share of the feature's firing contexts with a smaller peak; samples only."
    )
    sense: int | None
    peak: int = Field(description="Index into `tokens` of the largest activation.")
    # A feature has ten thousand: written as they are, in a tenth of the time of checking each.
    tokens: SkipValidation[list[Piece]]
    cut_left: bool = Field(description="More of the document stands before the window.")
    cut_right: bool
    document: DocumentRead
    typical: int | None = Field(
        description="Its place among the typical examples of its sense, 0 first; null: none."
    )
    held_out: bool = Field(description="Whether nobody who words the feature sees it.")


class FeatureSummary(Schema):
    """A feature in a list."""

    id: str = Field(
        description="`{model}/{layer}-{set}/{index}`.",
        examples=["Scopebook-Demo-4M-Base/2-res-w1k-l0_8/917"],
    )
    model: str
    release: str
    layer: int
    set_name: str
    index: int
    label: LabelRead | None
    unlabelled: OutcomeRead | None = Field(
        description="Why the language model that was asked last has given no label."
    )
    density: float | None = Field(description="Share of tokens that fire it; null: not collected.")
    max_activation: float | None
    flags: list[str] = Field(description="`dead`, `dense`, `token`, ...")
    preview: ExampleRead | None = Field(
        default=None, description="Its best example, cut short; in lists only on request."
    )


class FeaturesRequest(Schema):
    """Features by their ids."""

    features: Annotated[
        list[Annotated[str, Field(max_length=1_000)]],
        Field(min_length=1, max_length=500, description="`{model}/{layer}-{set}/{index}` of each."),
    ]
    preview: bool = False


class MissingFeature(Schema):
    """An id that names no feature."""

    id: str
    reason: str


class FeaturesRead(Schema):
    """Features that were asked for by their ids."""

    items: list[FeatureSummary] = Field(description="In the order that was asked, each once.")
    missing: list[MissingFeature]


class TokenWeight(Schema):
    """A vocabulary entry with a number."""

    token_id: int
    text: str = Field(description="As text; bytes that are no character are written `\\xE4`.")
    value: float


class Histogram(Schema):
    """Counts between neighbouring edges; `len(edges) == len(counts) + 1`, log-spaced."""

    edges: list[float]
    counts: list[int]


class Activity(Schema):
    """A context that fired a feature, by its document."""

    context_id: int
    document: DocumentRead
    position: float = Field(description="The document's place in the corpus: 0 first, 1 last.")


class Statistics(Schema):
    """What one collection measured of a feature."""

    run_id: int
    corpus: str
    tokens_seen: int
    contexts_seen: int
    count: int = Field(description="Tokens that fired it.")
    contexts: int = Field(description="Contexts that fired it.")
    density: float
    mean: float = Field(description="Mean activation over the tokens that fired it.")
    max: float
    histogram: Histogram
    top_tokens: list[TokenWeight] = Field(description="Share of activation mass by firing token.")
    top_tokens_exact: bool = Field(description="False: the shares are estimated from a part.")
    first_seen: Activity | None = Field(description="The first context that fired it.")
    last_seen: Activity | None
    tags: list["TagShare"] = Field(description="Document tags of its firing contexts, by lift.")


class TagShare(Schema):
    """How often a tag occurs among a feature's firing contexts."""

    tag: str
    share: float
    lift: float = Field(description="Share here divided by the tag's share of all contexts.")


class SenseRead(Schema):
    """A cluster of a feature's examples that mean one thing."""

    ordinal: int
    share: float = Field(description="Share of the clustered examples.")
    keywords: list[str]
    silhouette: float | None = Field(
        description="How well it stands apart from the others, -1 to 1; null: not measured."
    )
    label: LabelRead | None


class NeighbourRead(Schema):
    """A feature whose decoder direction is close."""

    id: str
    layer: int
    set_name: str
    index: int
    cosine: float
    label: LabelRead | None


class PartnerRead(Schema):
    """A feature of the same layer that fires on the same tokens."""

    id: str
    layer: int
    set_name: str
    index: int
    share: float = Field(description="Tokens on which both fire, of those on which either does.")
    label: LabelRead | None


class CoFiringRead(Schema):
    """What fires together with a feature, counted token by token in contexts of the corpus."""

    contexts: int
    tokens: int
    fires: int = Field(description="Of these tokens, those on which the feature fires.")
    partners: list[PartnerRead] = Field(
        description="At most 10, with 3 common tokens and a share of 0.05 at least."
    )


class AlikeRead(Schema):
    """A feature that is labelled nearly the same; both keep their labels."""

    id: str
    layer: int
    set_name: str
    index: int
    cosine: float = Field(description="Of the two labels' vectors, 0.9 or more.")
    label: LabelRead
    own: LabelRead = Field(description="The label of the feature itself that it is like.")
    direction: float | None = Field(
        description="Cosine of the decoder directions; null: not among the nearest of its layer."
    )


class AlikePage(Page[AlikeRead]):
    """Features of a release that are labelled nearly the same as one, the nearest first."""

    total: int = Field(description="How many there are among the 200 nearest.")


class ResolutionRead(Schema):
    """How far to trust the senses of an SAE's features, tried on the features themselves."""

    split_rate: float = Field(
        description="Share of single features, halves together, that are cut into several senses; "
        "some may have several. At most 0.10 is wanted."
    )
    conflated_ari: float = Field(
        description="How well two features mixed come apart: mean adjusted Rand index with the "
        "known halves, 1 is perfect, 0 is chance. At least 0.80 is wanted."
    )
    parted_rate: float = Field(description="Share of the mixtures cut into two senses or more.")
    n_single: int = Field(description="Single features tried.")
    n_pairs: int = Field(description="Mixtures tried.")
    coarse: bool = Field(description="Whether a figure misses what is wanted.")


class FeatureRead(FeatureSummary):
    """Everything known of a feature."""

    decoder_norm: float
    promoted: list[TokenWeight] = Field(description="Tokens its direction makes likelier.")
    suppressed: list[TokenWeight]
    neighbours: list[NeighbourRead]
    co_firing: CoFiringRead | None = Field(description="Null: not counted for the shown run.")
    statistics: Statistics | None
    senses: list[SenseRead]
    labels: list[LabelRead] = Field(description="Every label ever given, newest first.")
    scores: list[ScoreRead] = Field(description="Every score of every label, newest first.")
    kind: Literal["token", "position", "context"] | None = Field(
        description="On what it fires: on few tokens, at one place of a text, or as the text tells."
    )
    unassigned: float | None = Field(description="Share of its examples that are in no sense.")
    resolution: ResolutionRead | None = Field(
        description="How far senses of its layer can be trusted; null: not measured."
    )
    asked: int = Field(description="How often a language model was asked about it.")
    ineligible: str | None = Field(
        description="Why no language model is asked about it; null: one may be."
    )
    examples: list[ExampleRead]
    previous: str | None = Field(description="Id of the feature before it in its SAE.")
    following: str | None
    caution: str | None = Field(description="The licence caution of the release.")


class SaeRead(Schema):
    """One layer of a release."""

    layer: int
    set_name: str
    kind: Literal["topk", "threshold", "relu"] = Field(
        description="Active are the k strongest, those above their own threshold, or all above 0."
    )
    features: int
    alive: int | None = Field(description="Features that fired in the current run.")
    labelled: int
    corpus: str | None = Field(description="The corpus of the current run.")
    tokens_seen: int | None


class ReleaseRead(Schema):
    """A published set of SAEs for a model."""

    name: str
    model: str
    width: int
    k: int | None = Field(description="Features that fire on each token; null: it varies.")
    source: str
    revision: str | None
    caution: str | None
    saes: list[SaeRead]


class CorpusRead(Schema):
    """A registered body of text."""

    id: int
    name: str
    documents: int
    near_duplicates: int = Field(
        description="Documents that nearly repeat an earlier one; they are kept."
    )
    size_bytes: int
    tags: dict[str, int] = Field(description="Documents by tag.")
    created_at: datetime
    deletion_job_id: int | None = Field(description="The job that deletes it.")


class Problem(Schema):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    #: By which the lines of the API's log are found.
    request_id: str | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the refusals of a route for its documentation."""
    return {status: {"model": Problem} for status in statuses}
