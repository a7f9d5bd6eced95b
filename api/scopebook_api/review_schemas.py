"""What people say of features, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from scopebook_api.schemas import FeatureSummary, LabelRead, Schema

Verdict = Literal["accept", "reject", "unsure", "withdrawn"]
Reason = Annotated[str | None, Field(max_length=4000, description="Why; shown to everybody.")]
Index = Annotated[int, Field(ge=0, le=32767)]
RowId = Annotated[int, Field(ge=1, lt=2**63)]


class ReviewRead(Schema):
    """A person's verdict on a label that stands."""

    label_id: int
    author: str
    verdict: Verdict
    reason: str | None
    created_at: datetime


class OpinionRead(Schema):
    """Somebody's open wish for another's verdict."""

    id: int
    author: str
    reason: str | None
    created_at: datetime


class ReasonRead(Schema):
    """Why a label is in force."""

    label_id: int
    clause: Literal["pinned", "accepted", "said", "import", "llm", "keywords"] = Field(
        description="The clause of the rule that decided; the first that holds decides."
    )
    sentence: str


class SenseLabelsRead(Schema):
    """Which labels speak of one sense, by their ids."""

    id: int = Field(
        description="The sense itself: its ordinal is another's once senses are parted anew."
    )
    ordinal: int
    label_id: int | None = Field(
        description="In force; null: none, or an only sense has the feature's."
    )
    pinned: int | None = Field(description="The label that an editor has pinned for the sense.")
    others: list[int] = Field(
        description="Not in force, but somebody's verdict stands: proposed or rejected; newest "
        "first."
    )


class GivenTagRead(Schema):
    """A tag that a feature has."""

    name: str
    author: str


class MarkRead(Schema):
    """An example that somebody finds off-meaning."""

    context_id: int
    author: str


class CommentRead(Schema):
    """A comment as it is now."""

    id: int
    author: str
    text: str | None = Field(description="Null: it was taken away.")
    mentions: list[str] = Field(description="Accounts that it names by `@name`.")
    version: int = Field(description="1: as it was written.")
    created_at: datetime
    edited_at: datetime | None


class AnnotationRead(Schema):
    """What people have said of a feature; its version is the answer's `ETag` too."""

    version: int = Field(description="How many writes the feature has seen; send it as If-Match.")
    labels: list[LabelRead] = Field(
        description="The labels in force, and those on which somebody's verdict stands: proposed "
        "or rejected; newest first."
    )
    reviews: list[ReviewRead] = Field(description="Verdicts that stand, newest first.")
    reasons: list[ReasonRead] = Field(description="Why each label in force is.")
    pinned: int | None = Field(description="The label that an editor has pinned for the feature.")
    senses: list[SenseLabelsRead] = Field(description="As the feature's, the largest first.")
    second_opinions: list[OpinionRead]
    tags: list[GivenTagRead]
    marks: list[MarkRead] = Field(description="Shown examples that are off-meaning.")
    comments: list[CommentRead] = Field(description="Oldest first.")
    grouped: bool = Field(description="Whether a person has parted or joined its senses.")
    changes: int = Field(description="Entries of its history.")


class StaleProblem(Schema):
    """A problem (RFC 9457) with what is there now, to be looked at and merged."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    current: AnnotationRead


class ChangeRead(Schema):
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
    before: Any = Field(description="What was there before; null: nothing.")
    after: Any
    label: str | None = Field(description="The wording that it is about; null: about none.")
    sense: int | None = Field(
        description="Of which sense that words, as they were numbered then; null: of the feature."
    )
    reason: str | None
    undoes_id: int | None
    undone: bool
    bulk_id: int | None = Field(description="The action on many features that it is part of.")
    created_at: datetime


class LiveRead(Schema):
    """What a page needs to know at once."""

    version: int
    present: list[str] = Field(description="Who looks at the feature now, by name.")


class ReviewRequest(Schema):
    """A verdict; `withdrawn` takes one's own back."""

    label_id: RowId
    verdict: Verdict
    reason: Reason = None


class ProposalRequest(Schema):
    """A wording."""

    text: str = Field(max_length=300)
    description: str | None = Field(default=None, max_length=4000)
    sense: Index | None = Field(default=None, description="A sense's ordinal; null: the feature.")
    supersedes_id: RowId | None = Field(
        default=None, description="The label that it is a better wording of."
    )
    reason: Reason = None


class PinRequest(Schema):
    """Which label is to be in force whatever people say; null: let the rule decide."""

    label_id: RowId | None
    sense: Index | None = Field(default=None, description="Where nothing is to be pinned any more.")
    reason: str = Field(max_length=4000)


class WhyRequest(Schema):
    """Why."""

    reason: Reason = None


class CommentRequest(Schema):
    """What a comment says; `@name` speaks to an account."""

    text: str = Field(max_length=10_000)


class MergeRequest(Schema):
    """Senses that are one."""

    ordinals: list[Index] = Field(min_length=2, max_length=100)
    reason: Reason = None


class SplitRequest(Schema):
    """Examples of a sense that mean something else."""

    ordinal: Index
    context_ids: list[RowId] = Field(min_length=1, max_length=200)
    reason: Reason = None


class GivenReviewRead(Schema):
    """A verdict as it was given, also where it does not stand any more."""

    id: int
    feature: str = Field(description="`{model}/{layer}-{set}/{index}`.")
    label_id: int
    label: str
    author: str
    verdict: Verdict
    reason: str | None
    created_at: datetime


class BulkRequest(Schema):
    """One action on many features."""

    features: list[str] = Field(min_length=1, max_length=1000, description="Feature ids.")
    kind: Literal["accept", "reject", "tag", "untag", "second_opinion"]
    tag: str | None = Field(default=None, max_length=40)
    reason: Reason = None


class BulkItemRead(Schema):
    """What the action does to one feature."""

    feature: str
    refusal: str | None = Field(description="Why it is left out; null: it is not.")


class BulkRead(Schema):
    """What an action would do, did, or undid."""

    id: int
    token: str = Field(description="Applies the preview.")
    changes: int
    refused: int
    items: list[BulkItemRead]


class QueueRequest(Schema):
    """Of which features the next one is wanted."""

    release: str | None = Field(default=None, max_length=200)
    layers: list[Index] | None = Field(default=None, max_length=200)
    tag: str | None = Field(default=None, max_length=40)


class LeaseRead(Schema):
    """The feature that one has in hand now."""

    feature: FeatureSummary
    why: str = Field(description="Why it is the next one.")
    until: datetime = Field(description="Until then nobody else is handed it.")


class NextRead(Schema):
    """The next feature to review."""

    lease: LeaseRead | None = Field(description="Null: there is nothing left.")


class HandRequest(Schema):
    """A feature that is to be given out of hand."""

    feature: str = Field(max_length=500, description="Its id.")


class QueueRead(Schema):
    """How much there is to review; of each, 10,000 stands for that or more."""

    second_opinions: int
    undecided: int = Field(description="People disagree, or a proposal waits for a verdict.")
    unreviewed: int
    in_hand: dict[str, int] = Field(description="Features in hand, by the account's name.")


class TagRead(Schema):
    """A word of the team's vocabulary."""

    name: str
    description: str | None
    retired: bool = Field(description="Whether it is not given any more.")
    features: int


class TagRequest(Schema):
    """A word's description, and whether it is offered."""

    description: str | None = Field(default=None, max_length=1000)
    retired: bool = False


class MentionRead(CommentRead):
    """A comment that speaks to somebody, and where it stands."""

    feature: str


class AgreementRead(Schema):
    """How far people agree on labels that at least two of them have rated."""

    labels: int
    ratings: int
    percent: float | None = Field(description="Share of equal pairs of verdicts, 0 to 1.")
    alpha: float | None = Field(
        description="Krippendorff's, nominal: 1 agree, 0 as by chance; null: not defined."
    )


class PairAgreementRead(AgreementRead):
    """How far two people agree."""

    authors: list[str]


class NamedAgreementRead(AgreementRead):
    """How far people agree on the features of a tag, or in a month."""

    name: str


class AgreementReportRead(Schema):
    """Agreement over all, and parted."""

    overall: AgreementRead
    pairs: list[PairAgreementRead]
    tags: list[NamedAgreementRead]
    months: list[NamedAgreementRead] = Field(description="By the month of a label's last verdict.")
