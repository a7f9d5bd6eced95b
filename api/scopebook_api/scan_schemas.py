"""What the API says of scans, and how one is asked for.

Ratios are base-2 logarithms of rates: 1 means twice as often. Rates are shares of the tokens that
count, shares are of documents.
"""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from scopebook_api.job_schemas import JobRead, JobState
from scopebook_api.schemas import Schema


class SnippetRead(Schema):
    """A passage of a document in which a feature fires most strongly."""

    document_id: int
    document: str
    part: str
    activation: float
    tokens: int = Field(description="Tokens of the document that fire it.")
    before: str
    peak: str
    after: str


class ScanHitRead(SnippetRead):
    """A document that fires a feature."""

    feature: str
    complete: bool = Field(
        description="Whether every document that fires the feature is kept, or the strongest only."
    )


class ScanDocumentRead(Schema):
    """A document of a scan with so much of its text as was asked for."""

    id: int
    name: str
    part: str = Field(description="The field it comes from; empty where there is one part.")
    characters: int = Field(description="Of the whole text.")
    start: int
    text: str


class RatioRead(Schema):
    """How often something fires in one text and in another."""

    label: str | None
    tokens: int
    documents: int
    share: float
    rate: float
    other_rate: float = Field(description="In the reference, or in the other part.")
    log2: float
    low: float = Field(description="Of the 95 % interval.")
    high: float
    p: float
    fdr: float | None = Field(description="Null: too few firings to be tested, or flagged.")


class ScannedFeatureRead(RatioRead):
    """A feature of a scan."""

    feature: str
    layer: int
    index: int
    flags: list[str]
    mean: float
    max: float
    examples: list[SnippetRead]


class ScanFeatureRead(RatioRead):
    """A row of a scan's table of all features."""

    feature: str
    layer: int
    index: int
    flags: list[str]
    mean: float
    max: float
    part: str = Field(description="Empty: of all documents.")
    other_tokens: int
    other_contexts: int


class ScanConceptRead(RatioRead):
    """Features of one label text, taken together; `documents` is at least how many fire any."""

    count: int = Field(description="How many features have the label.")
    features: list[str] = Field(description="Some of them.")


class ScanPartRead(Schema):
    """A part of the text: a field of its records, or all of it."""

    name: str
    documents: int
    tokens: int
    empty: int = Field(description="Documents without a token that counts.")
    near_empty: int = Field(
        description="Documents in which next to nothing but flagged features fires."
    )


class ScanReferenceRead(Schema):
    """What a layer is held against."""

    layer: int
    run: int
    corpus: str
    tokens: int
    sae_sha256: str


class ScanLanguageRead(Schema):
    """Documents whose features fire, in the reference, mostly in texts of one language."""

    language: str
    documents: int
    share: float
    tokens: int = Field(description="Of these documents, those that count.")


class NearEmptyRead(Schema):
    """A document in which next to nothing that tells something fires."""

    document_id: int
    document: str
    part: str
    tokens: int
    informative: float


class CoverageRowRead(Schema):
    """How many documents fire a feature of the list."""

    feature: str
    label: str | None
    documents: int
    share: float
    parts: dict[str, float] = Field(description="Shares by part.")


class ScanCoverageRead(Schema):
    """How many documents fire the features of a list."""

    name: str
    documents: int = Field(description="That fire any of them.")
    share: float
    parts: dict[str, float]
    features: list[CoverageRowRead]


class ScanConditionRead(Schema):
    """A condition, and whether the text fulfils it, which fails the scan."""

    condition: str
    documents: int
    share: float
    failed: bool
    sentence: str


class PartsContrastRead(Schema):
    """One part held against another; `other_rate` is that of the other part."""

    one: str
    other: str
    tested: int
    over_total: int
    under_total: int
    over: list[ScannedFeatureRead]
    under: list[ScannedFeatureRead]


class ScanSummaryRead(Schema):
    """What a scan found."""

    release: str
    model: str
    caution: str | None
    documents: int
    tokens: int
    sinks: dict[str, int] = Field(description="Sinks that were masked, by layer.")
    parts: list[ScanPartRead]
    references: list[ScanReferenceRead]
    tested: int = Field(description="Features with enough firings that are not flagged.")
    over_total: int
    under_total: int
    over: list[ScannedFeatureRead] = Field(
        description="By the bound of the interval that is nearest to 0, the surest first."
    )
    under: list[ScannedFeatureRead]
    concepts_over: list[ScanConceptRead]
    concepts_under: list[ScanConceptRead]
    flagged_total: int
    flagged: list[ScannedFeatureRead] = Field(
        description="Dense, bound to a position or to parked attention; not ranked."
    )
    languages: list[ScanLanguageRead]
    languages_unknown: int = Field(description="Documents whose features speak for no language.")
    near_empty: list[NearEmptyRead] = Field(description="The first of them.")
    coverage: ScanCoverageRead | None
    conditions: list[ScanConditionRead]
    compared: list[PartsContrastRead]
    parameters: dict[str, Any]


class ScanRead(Schema):
    """A scan; in lists without its summary."""

    id: int
    job_id: int
    state: JobState = Field(description="Of its job.")
    error: str | None
    release: str
    model: str
    dataset: str
    layers: list[int]
    parts: list[str]
    against: str | None
    fdr: float
    coverage: str | None = Field(description="The list that was looked for.")
    fail_if: list[str]
    created_at: datetime
    finished_at: datetime | None
    failed: bool | None = Field(
        description="Whether a condition failed it; null: it is not done, or has none."
    )
    summary: ScanSummaryRead | None


class ScanAskedRead(Schema):
    """A scan that was asked for, and its job."""

    scan: ScanRead
    job: JobRead
    left_out: list[str] = Field(description="Records that could not be read, the first of them.")


class ScanAskRequest(Schema):
    """Ask for a scan of a registered corpus, or of texts or records that come along."""

    release: str
    corpus: str | None = Field(default=None, description="A registered corpus.")
    texts: list[str] | None = Field(default=None, max_length=10_000)
    records: list[dict[str, Any]] | None = Field(
        default=None, max_length=10_000, description="As in a file of JSON lines."
    )
    fields: list[str] = Field(
        default_factory=list,
        max_length=8,
        description="Of the records: each is a part; `messages.user` are messages of one role.",
    )
    name: Annotated[str, Field(min_length=1, max_length=150)] = Field(
        default="texts of a request", description="What to call texts or records."
    )
    layers: list[int] | None = Field(default=None, description="Null: all that were collected.")
    against: str | None = Field(
        default=None, description="The corpus whose newest collection is the reference."
    )
    coverage: str | None = Field(default=None, description="A list of features to look for.")
    fail_if: list[str] = Field(default_factory=list, max_length=100)
    fdr: Annotated[float, Field(gt=0, lt=1)] = 0.05
