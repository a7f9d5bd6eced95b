"""What a scan says, as it is kept with the scan and told by the API and the report."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A passage of a document in which a feature fires most strongly."""

    document_id: int
    document: str
    part: str
    activation: float
    #: Tokens of the document that fire it.
    tokens: int
    before: str
    peak: str
    after: str


@dataclass(frozen=True, kw_only=True)
class ScannedDocument:
    """A document that was scanned, and so much of its text as was asked for."""

    id: int
    name: str
    part: str
    #: Of the whole text.
    characters: int
    #: The character that `text` begins with.
    start: int
    text: str


@dataclass(frozen=True, kw_only=True)
class FeatureFound:
    """How often a feature fires in one text and in another."""

    #: `{model}/{layer}-{set}/{index}`.
    feature: str
    layer: int
    index: int
    label: str | None
    flags: list[str]
    #: Tokens and documents that fire it, and these as a share of all documents.
    tokens: int
    documents: int
    share: float
    #: Of the tokens that count.
    rate: float
    other_rate: float
    mean: float
    max: float
    #: Base-2 logarithm of the ratio of the rates, with its 95 % interval.
    log2: float
    low: float
    high: float
    p: float
    #: Null: too few firings on both sides to be tested, or a flagged feature.
    fdr: float | None
    examples: list[Snippet] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ConceptFound:
    """Features of one label text, taken together."""

    label: str
    #: How many features have it, and some of them.
    count: int
    features: list[str]
    tokens: int
    #: Documents that fire the one that most documents fire: at least so many fire any.
    documents: int
    share: float
    rate: float
    other_rate: float
    log2: float
    low: float
    high: float
    p: float
    fdr: float | None


@dataclass(frozen=True, kw_only=True)
class PartFound:
    """A part of the text: a field of its records, or all of it."""

    name: str
    documents: int
    tokens: int
    #: Documents without a token that counts.
    empty: int
    #: Documents in which next to nothing but flagged features fires; the empty ones too.
    near_empty: int


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a layer is held against."""

    layer: int
    run: int
    corpus: str
    tokens: int
    sae_sha256: str


@dataclass(frozen=True, kw_only=True)
class LanguageFound:
    """Documents whose features fire, in the reference, mostly in texts of this language."""

    language: str
    documents: int
    share: float
    #: Tokens of these documents that count.
    tokens: int


@dataclass(frozen=True, kw_only=True)
class NearEmpty:
    """A document in which next to nothing that tells something fires."""

    document_id: int
    document: str
    part: str
    tokens: int
    #: Of its firings, those of features that are not flagged.
    informative: float


@dataclass(frozen=True, kw_only=True)
class CoverageRow:
    """How many documents fire a feature of the list."""

    feature: str
    label: str | None
    documents: int
    share: float
    #: By part.
    parts: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How many documents fire the features of a list."""

    name: str
    documents: int
    #: Of the documents, those that fire any of them.
    share: float
    parts: dict[str, float]
    features: list[CoverageRow]


@dataclass(frozen=True, kw_only=True)
class ConditionFound:
    """A condition, and whether the text fulfils it, which fails the scan."""

    condition: str
    documents: int
    share: float
    failed: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class PartsContrast:
    """One part held against another; `other_rate` is that of the other part."""

    one: str
    other: str
    tested: int
    over_total: int
    under_total: int
    over: list[FeatureFound]
    under: list[FeatureFound]


@dataclass(frozen=True, kw_only=True)
class ScanSummary:
    """What a scan found."""

    release: str
    model: str
    caution: str | None
    documents: int
    tokens: int
    #: Sinks that were masked, by layer.
    sinks: dict[str, int]
    parts: list[PartFound]
    references: list[Reference]
    #: Features with enough firings, not flagged; and how many of them are over and under.
    tested: int
    over_total: int
    under_total: int
    over: list[FeatureFound]
    under: list[FeatureFound]
    concepts_over: list[ConceptFound]
    concepts_under: list[ConceptFound]
    flagged_total: int
    flagged: list[FeatureFound]
    languages: list[LanguageFound]
    #: Documents whose features speak for no language.
    languages_unknown: int
    near_empty: list[NearEmpty]
    coverage: Coverage | None
    conditions: list[ConditionFound]
    compared: list[PartsContrast]
    parameters: dict[str, Any]
