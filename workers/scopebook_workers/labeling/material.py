"""What is chosen of a feature's evidence: to word it, to check the words, to score them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scopebook_workers.labeling.evidence import Firing, Passage

Kind = Literal["token", "position", "context"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Quiet:
    """A passage in which the feature does not fire, to be shown around one of its tokens."""

    passage: Passage
    center: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Cluster:
    """One sense of a feature, as clustering found it."""

    #: Positions in the evidence's examples, strongest first; only of documents to explain by.
    members: Sequence[int]
    #: The member nearest to all others, one of `members`.
    medoid: int
    #: Share of the clustered examples.
    share: float
    keywords: Sequence[str]
    #: Positions of those that are shown, one of `members` each.
    representatives: Sequence[int]
    #: Positions of held-out examples that are nearest to this sense.
    held_out: Sequence[int]
    #: Mean silhouette of the members; None for an only sense.
    silhouette: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Everything that a feature's wording may rest on; held-out examples are not among it."""

    kind: Kind
    #: All examples of the evidence; the positions in clusters refer to them.
    firings: Sequence[Firing]
    #: The senses, largest first; at least one.
    clusters: Sequence[Cluster]
    #: Share of the clustered examples that are in no sense.
    unassigned: float
    #: Examples that nobody who words the feature may see, positions in `firings`.
    held_out: Sequence[int]
    #: Quiet passages that resemble the examples.
    contrasts: Sequence[Quiet] = ()
    #: Tokens that the feature promotes, by the logit lens.
    promoted: Sequence[str] = ()
