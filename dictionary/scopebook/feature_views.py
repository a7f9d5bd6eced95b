"""A feature as lists show it, and as its page does."""

from dataclasses import dataclass, field

from scopebook.co_firing import CoFiringView
from scopebook.examples import Activity, Example
from scopebook.label_details import ScoreView
from scopebook.label_reports import Outcome
from scopebook.labels import LabelView, SenseView
from scopebook.sense_resolution import SenseResolution


@dataclass(frozen=True, kw_only=True)
class FeatureInList:
    """A feature as lists show it."""

    feature_id: int
    id: str
    model: str
    release: str
    layer: int
    set_name: str
    index: int
    label: LabelView | None
    #: Why the language model that was asked last has given no label.
    unlabelled: Outcome | None
    density: float | None
    max_activation: float | None
    flags: list[str]
    preview: Example | None = None


@dataclass(frozen=True)
class TokenWeight:
    """A vocabulary entry with a number."""

    token_id: int
    text: str
    value: float


@dataclass(frozen=True)
class Histogram:
    """Counts between neighbouring edges."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class TagShare:
    """How often a document tag occurs among the feature's firing contexts."""

    tag: str
    share: float
    lift: float


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What one collection measured."""

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
    #: False: the shares are estimated from a part of its firings.
    top_tokens_exact: bool
    tags: list[TagShare]
    #: The first and the last context of the corpus that fired it, where the run kept them.
    first_seen: Activity | None
    last_seen: Activity | None


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A feature whose decoder direction is close."""

    id: str
    layer: int
    set_name: str
    index: int
    cosine: float
    label: LabelView | None


@dataclass(frozen=True, kw_only=True)
class FeatureInFull(FeatureInList):
    """Everything known of one feature."""

    decoder_norm: float
    promoted: list[TokenWeight]
    suppressed: list[TokenWeight]
    neighbours: list[Neighbour]
    #: None: not counted.
    co_firing: CoFiringView | None
    statistics: Statistics | None
    senses: list[SenseView]
    labels: list[LabelView]
    #: Every score of every label, newest first.
    scores: list[ScoreView]
    #: On what it fires: `token`, `position` or `context`; None where it was not found out.
    kind: str | None
    #: Share of the examples that are in none of the senses.
    unassigned: float | None
    #: How far the senses of its SAE can be trusted; None where that was not measured.
    resolution: SenseResolution | None
    #: How often a language model was asked about it, and why none is; None where one may be.
    asked: int
    ineligible: str | None
    examples: list[Example] = field(default_factory=list)
    previous: str | None
    following: str | None
    caution: str | None
