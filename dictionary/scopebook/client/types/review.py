"""What the API answers of reviews; written by `make openapi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from scopebook.client.types.feature import FeatureSummary, LabelRead


class AgreementRead(TypedDict):
    """How far people agree on labels that at least two of them have rated."""

    labels: int
    ratings: int
    percent: float | None
    alpha: float | None


class AgreementReportRead(TypedDict):
    """Agreement over all, and parted."""

    overall: AgreementRead
    pairs: list[PairAgreementRead]
    tags: list[NamedAgreementRead]
    months: list[NamedAgreementRead]


class AnnotationRead(TypedDict):
    """What people have said of a feature; its version is the answer's `ETag` too."""

    version: int
    labels: list[LabelRead]
    reviews: list[ReviewRead]
    reasons: list[ReasonRead]
    pinned: int | None
    senses: list[SenseLabelsRead]
    second_opinions: list[OpinionRead]
    tags: list[GivenTagRead]
    marks: list[MarkRead]
    comments: list[CommentRead]
    grouped: bool
    changes: int


class BulkItemRead(TypedDict):
    """What the action does to one feature."""

    feature: str
    refusal: str | None


class BulkRead(TypedDict):
    """What an action would do, did, or undid."""

    id: int
    token: str
    changes: int
    refused: int
    items: list[BulkItemRead]


class BulkRequest(TypedDict):
    """One action on many features."""

    features: list[str]
    kind: Literal["accept", "reject", "tag", "untag", "second_opinion"]
    tag: NotRequired[str | None]
    reason: NotRequired[str | None]


class ChangeRead(TypedDict):
    """An entry of a feature's history."""

    id: int
    version: int
    author: str
    kind: Literal[
        "review",
        "propose",
        "pin",
        "second_opinion",
        "comment",
        "tag",
        "example",
        "grouping",
        "undo",
    ]
    before: Any
    after: Any
    label: str | None
    sense: int | None
    reason: str | None
    undoes_id: int | None
    undone: bool
    bulk_id: int | None
    created_at: str


class CommentRead(TypedDict):
    """A comment as it is now."""

    id: int
    author: str
    text: str | None
    mentions: list[str]
    version: int
    created_at: str
    edited_at: str | None


class CommentRequest(TypedDict):
    """What a comment says; `@name` speaks to an account."""

    text: str


class GivenReviewRead(TypedDict):
    """A verdict as it was given, also where it does not stand any more."""

    id: int
    feature: str
    label_id: int
    label: str
    author: str
    verdict: Literal["accept", "reject", "unsure", "withdrawn"]
    reason: str | None
    created_at: str


class GivenTagRead(TypedDict):
    """A tag that a feature has."""

    name: str
    author: str


class HandRequest(TypedDict):
    """A feature that is to be given out of hand."""

    feature: str


class LeaseRead(TypedDict):
    """The feature that one has in hand now."""

    feature: FeatureSummary
    why: str
    until: str


class MarkRead(TypedDict):
    """An example that somebody finds off-meaning."""

    context_id: int
    author: str


class MentionRead(TypedDict):
    """A comment that speaks to somebody, and where it stands."""

    id: int
    author: str
    text: str | None
    mentions: list[str]
    version: int
    created_at: str
    edited_at: str | None
    feature: str


class MergeRequest(TypedDict):
    """Senses that are one."""

    ordinals: list[int]
    reason: NotRequired[str | None]


class NamedAgreementRead(TypedDict):
    """How far people agree on the features of a tag, or in a month."""

    labels: int
    ratings: int
    percent: float | None
    alpha: float | None
    name: str


class NextRead(TypedDict):
    """The next feature to review."""

    lease: LeaseRead | None


class OpinionRead(TypedDict):
    """Somebody's open wish for another's verdict."""

    id: int
    author: str
    reason: str | None
    created_at: str


class PairAgreementRead(TypedDict):
    """How far two people agree."""

    labels: int
    ratings: int
    percent: float | None
    alpha: float | None
    authors: list[str]


class PinRequest(TypedDict):
    """Which label is to be in force whatever people say; null: let the rule decide."""

    label_id: int | None
    sense: NotRequired[int | None]
    reason: str


class ProposalRequest(TypedDict):
    """A wording."""

    text: str
    description: NotRequired[str | None]
    sense: NotRequired[int | None]
    supersedes_id: NotRequired[int | None]
    reason: NotRequired[str | None]


class QueueRead(TypedDict):
    """How much there is to review; of each, 10,000 stands for that or more."""

    second_opinions: int
    undecided: int
    unreviewed: int
    in_hand: dict[str, int]


class QueueRequest(TypedDict):
    """Of which features the next one is wanted."""

    release: NotRequired[str | None]
    layers: NotRequired[list[int] | None]
    tag: NotRequired[str | None]


class ReasonRead(TypedDict):
    """Why a label is in force."""

    label_id: int
    clause: Literal["pinned", "accepted", "said", "import", "llm", "keywords"]
    sentence: str


class ReviewRead(TypedDict):
    """A person's verdict on a label that stands."""

    label_id: int
    author: str
    verdict: Literal["accept", "reject", "unsure", "withdrawn"]
    reason: str | None
    created_at: str


class ReviewRequest(TypedDict):
    """A verdict; `withdrawn` takes one's own back."""

    label_id: int
    verdict: Literal["accept", "reject", "unsure", "withdrawn"]
    reason: NotRequired[str | None]


class SenseLabelsRead(TypedDict):
    """Which labels speak of one sense, by their ids."""

    id: int
    ordinal: int
    label_id: int | None
    pinned: int | None
    others: list[int]


class SplitRequest(TypedDict):
    """Examples of a sense that mean something else."""

    ordinal: int
    context_ids: list[int]
    reason: NotRequired[str | None]


class StaleProblem(TypedDict):
    """A problem (RFC 9457) with what is there now, to be looked at and merged."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    current: AnnotationRead


class TagRead(TypedDict):
    """A word of the team's vocabulary."""

    name: str
    description: str | None
    retired: bool
    features: int


class TagRequest(TypedDict):
    """A word's description, and whether it is offered."""

    description: NotRequired[str | None]
    retired: NotRequired[bool]


class WhyRequest(TypedDict):
    """Why."""

    reason: NotRequired[str | None]
