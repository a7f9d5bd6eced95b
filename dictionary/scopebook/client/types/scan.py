"""What the API answers of scans; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.job import JobRead


class CoverageRowRead(TypedDict):
    """How many documents fire a feature of the list."""

    feature: str
    label: str | None
    documents: int
    share: float
    parts: dict[str, float]


class NearEmptyRead(TypedDict):
    """A document in which next to nothing that tells something fires."""

    document_id: int
    document: str
    part: str
    tokens: int
    informative: float


class PartsContrastRead(TypedDict):
    """One part held against another; `other_rate` is that of the other part."""

    one: str
    other: str
    tested: int
    over_total: int
    under_total: int
    over: list[ScannedFeatureRead]
    under: list[ScannedFeatureRead]


class ScanAskRequest(TypedDict):
    """Ask for a scan of a registered corpus, or of texts or records that come along."""

    release: str
    corpus: NotRequired[str | None]
    texts: NotRequired[list[str] | None]
    records: NotRequired[list[dict[str, Any]] | None]
    fields: NotRequired[list[str]]
    name: NotRequired[str]
    layers: NotRequired[list[int] | None]
    against: NotRequired[str | None]
    coverage: NotRequired[str | None]
    fail_if: NotRequired[list[str]]
    fdr: NotRequired[float]


class ScanAskedRead(TypedDict):
    """A scan that was asked for, and its job."""

    scan: ScanRead
    job: JobRead
    left_out: list[str]


class ScanConceptRead(TypedDict):
    """Features of one label text, taken together; `documents` is at least how many fire any."""

    label: str | None
    tokens: int
    documents: int
    share: float
    rate: float
    other_rate: float
    log2: float
    low: float
    high: float
    p: float
    fdr: float | None
    count: int
    features: list[str]


class ScanConditionRead(TypedDict):
    """A condition, and whether the text fulfils it, which fails the scan."""

    condition: str
    documents: int
    share: float
    failed: bool
    sentence: str


class ScanCoverageRead(TypedDict):
    """How many documents fire the features of a list."""

    name: str
    documents: int
    share: float
    parts: dict[str, float]
    features: list[CoverageRowRead]


class ScanDocumentRead(TypedDict):
    """A document of a scan with so much of its text as was asked for."""

    id: int
    name: str
    part: str
    characters: int
    start: int
    text: str


class ScanFeatureRead(TypedDict):
    """A row of a scan's table of all features."""

    label: str | None
    tokens: int
    documents: int
    share: float
    rate: float
    other_rate: float
    log2: float
    low: float
    high: float
    p: float
    fdr: float | None
    feature: str
    layer: int
    index: int
    flags: list[str]
    mean: float
    max: float
    part: str
    other_tokens: int
    other_contexts: int


class ScanHitRead(TypedDict):
    """A document that fires a feature."""

    document_id: int
    document: str
    part: str
    activation: float
    tokens: int
    before: str
    peak: str
    after: str
    feature: str
    complete: bool


class ScanLanguageRead(TypedDict):
    """Documents whose features fire, in the reference, mostly in texts of one language."""

    language: str
    documents: int
    share: float
    tokens: int


class ScanPartRead(TypedDict):
    """A part of the text: a field of its records, or all of it."""

    name: str
    documents: int
    tokens: int
    empty: int
    near_empty: int


class ScanRead(TypedDict):
    """A scan; in lists without its summary."""

    id: int
    job_id: int
    state: Literal["queued", "running", "done", "failed", "cancelling", "cancelled"]
    error: str | None
    release: str
    model: str
    dataset: str
    layers: list[int]
    parts: list[str]
    against: str | None
    fdr: float
    coverage: str | None
    fail_if: list[str]
    created_at: str
    finished_at: str | None
    failed: bool | None
    summary: ScanSummaryRead | None


class ScanReferenceRead(TypedDict):
    """What a layer is held against."""

    layer: int
    run: int
    corpus: str
    tokens: int
    sae_sha256: str


class ScanSummaryRead(TypedDict):
    """What a scan found."""

    release: str
    model: str
    caution: str | None
    documents: int
    tokens: int
    sinks: dict[str, int]
    parts: list[ScanPartRead]
    references: list[ScanReferenceRead]
    tested: int
    over_total: int
    under_total: int
    over: list[ScannedFeatureRead]
    under: list[ScannedFeatureRead]
    concepts_over: list[ScanConceptRead]
    concepts_under: list[ScanConceptRead]
    flagged_total: int
    flagged: list[ScannedFeatureRead]
    languages: list[ScanLanguageRead]
    languages_unknown: int
    near_empty: list[NearEmptyRead]
    coverage: ScanCoverageRead | None
    conditions: list[ScanConditionRead]
    compared: list[PartsContrastRead]
    parameters: dict[str, Any]


class ScannedFeatureRead(TypedDict):
    """A feature of a scan."""

    label: str | None
    tokens: int
    documents: int
    share: float
    rate: float
    other_rate: float
    log2: float
    low: float
    high: float
    p: float
    fdr: float | None
    feature: str
    layer: int
    index: int
    flags: list[str]
    mean: float
    max: float
    examples: list[SnippetRead]


class SnippetRead(TypedDict):
    """A passage of a document in which a feature fires most strongly."""

    document_id: int
    document: str
    part: str
    activation: float
    tokens: int
    before: str
    peak: str
    after: str
