"""The tables of what people say of features, and of who looks at which.

What a person said is never overwritten: rows only grow, and where a table holds a present state
(a feature's tags, an example's mark) every step to it stands in `change`.
"""

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from scopebook.db.base import Base, BigId, Created, Moment

_FEATURE = "feature.id"
_ACCOUNT = "account.id"


class FeatureVersion(Base):
    """How often people have changed a feature; locked while one of them does."""

    __tablename__ = "feature_version"

    feature_id: Mapped[int] = mapped_column(
        ForeignKey(_FEATURE, ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger, server_default=sql("0"))


class Change(Base):
    """One thing that one person did to one feature: the history, from which all can be undone."""

    __tablename__ = "change"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey(_FEATURE, ondelete="CASCADE"))
    #: The feature's version since then.
    version: Mapped[int] = mapped_column(BigInteger)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    kind: Mapped[str]
    #: What it changed, e.g. `pin:0`; and what it takes for granted besides, e.g. `label:12`.
    slot: Mapped[str]
    rests: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=sql("'{}'"))
    before: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str | None]
    undoes_id: Mapped[int | None] = mapped_column(ForeignKey("change.id", ondelete="CASCADE"))
    bulk_id: Mapped[int | None] = mapped_column(ForeignKey("bulk_action.id"), index=True)
    created_at: Mapped[Created]

    __table_args__ = (
        UniqueConstraint("feature_id", "version"),
        Index("ix_change_undoes_id", "undoes_id", postgresql_where=sql("undoes_id IS NOT NULL")),
        Index("ix_change_account_id_id", "account_id", "id"),
    )


class Review(Base):
    """A person's verdict on a label; their newest one on it is the one that stands."""

    __tablename__ = "review"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey(_FEATURE, ondelete="CASCADE"), index=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id", ondelete="CASCADE"))
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    verdict: Mapped[str]
    reason: Mapped[str | None]
    #: Whether it can put the label in force; who proposed it can do so only as an editor or alone.
    counts: Mapped[bool]
    created_at: Mapped[Created]

    __table_args__ = (
        CheckConstraint(
            "verdict IN ('accept', 'reject', 'unsure', 'withdrawn')", name="known_verdict"
        ),
        Index("ix_review_label_id_account_id_id", "label_id", "account_id", "id"),
        Index("ix_review_account_id_feature_id", "account_id", "feature_id"),
    )


class Pin(Base):
    """An editor's choice of the label in force; the newest one of a place is the one that holds."""

    __tablename__ = "pin"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey(_FEATURE, ondelete="CASCADE"))
    #: Null: the whole feature.
    sense_id: Mapped[int | None] = mapped_column(ForeignKey("sense.id", ondelete="CASCADE"))
    #: Null: nothing is pinned any more.
    label_id: Mapped[int | None] = mapped_column(ForeignKey("label.id", ondelete="CASCADE"))
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    reason: Mapped[str | None]
    created_at: Mapped[Created]

    __table_args__ = (
        Index("ix_pin_feature_id_id", "feature_id", "id"),
        # Ends of foreign keys, for deletions.
        Index("ix_pin_sense_id", "sense_id", postgresql_where=sql("sense_id IS NOT NULL")),
        Index("ix_pin_label_id", "label_id", postgresql_where=sql("label_id IS NOT NULL")),
    )


class GroupingChoice(Base):
    """Which senses a person has parted a run's examples into; the newest one holds."""

    __tablename__ = "grouping_choice"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey(_FEATURE, ondelete="CASCADE"))
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    #: A labeling with `source = person`; null: the machine's senses again.
    labeling_id: Mapped[int | None] = mapped_column(ForeignKey("labeling.id", ondelete="CASCADE"))
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    created_at: Mapped[Created]

    __table_args__ = (
        Index("ix_grouping_choice_feature_id_run_id_id", "feature_id", "run_id", "id"),
    )


class SecondOpinion(Base):
    """That a person wants another one's verdict on a feature."""

    __tablename__ = "second_opinion"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey(_FEATURE, ondelete="CASCADE"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    reason: Mapped[str | None]
    created_at: Mapped[Created]
    #: When another one gave a verdict, or the request was taken back.
    closed_at: Mapped[Moment | None]


class Comment(Base):
    """One contribution to a feature's discussion; its text stands in its versions."""

    __tablename__ = "comment"

    id: Mapped[BigId]
    feature_id: Mapped[int] = mapped_column(ForeignKey(_FEATURE, ondelete="CASCADE"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    created_at: Mapped[Created]


class CommentVersion(Base):
    """What a comment said; the newest version is the one that is shown."""

    __tablename__ = "comment_version"

    comment_id: Mapped[int] = mapped_column(
        ForeignKey("comment.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    #: Null: it was taken away.
    text: Mapped[str | None]
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    created_at: Mapped[Created]


class Mention(Base):
    """Whom a comment speaks to."""

    __tablename__ = "mention"

    comment_id: Mapped[int] = mapped_column(
        ForeignKey("comment.id", ondelete="CASCADE"), primary_key=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT), primary_key=True, index=True)


class Tag(Base):
    """A word of the team's vocabulary."""

    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str | None]
    created_at: Mapped[Created]
    #: Since then it is offered no more; features keep it.
    retired_at: Mapped[Moment | None]


class FeatureTag(Base):
    """That a feature has a tag now."""

    __tablename__ = "feature_tag"

    feature_id: Mapped[int] = mapped_column(
        ForeignKey(_FEATURE, ondelete="CASCADE"), primary_key=True
    )
    tag_id: Mapped[int] = mapped_column(ForeignKey("tag.id"), primary_key=True, index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    created_at: Mapped[Created]


class ExampleMark(Base):
    """That an example does not mean what the feature's label says."""

    __tablename__ = "example_mark"

    feature_id: Mapped[int] = mapped_column(
        ForeignKey(_FEATURE, ondelete="CASCADE"), primary_key=True
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
    context_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    #: Its first place in the evidence's examples.
    position: Mapped[int] = mapped_column(SmallInteger)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    created_at: Mapped[Created]


class QueueEntry(Base):
    """What a verdict on a feature is worth now, and who has it in hand."""

    __tablename__ = "queue_entry"

    feature_id: Mapped[int] = mapped_column(
        ForeignKey(_FEATURE, ondelete="CASCADE"), primary_key=True
    )
    sae_id: Mapped[int] = mapped_column(ForeignKey("sae.id", ondelete="CASCADE"))
    #: Its class before the point (`scopebook.queue_order`), its worth within the class after it.
    priority: Mapped[float] = mapped_column(REAL)
    open: Mapped[bool]
    leased_by: Mapped[int | None] = mapped_column(ForeignKey(_ACCOUNT))
    leased_until: Mapped[Moment | None]

    __table_args__ = (
        Index(
            "ix_queue_entry_order",
            "sae_id",
            sql("priority DESC"),
            "feature_id",
            postgresql_where=sql("open"),
        ),
        Index(
            "ix_queue_entry_leased_by",
            "leased_by",
            postgresql_where=sql("leased_by IS NOT NULL"),
        ),
    )


class QueueSkip(Base):
    """That a person does not want to see a feature for a while."""

    __tablename__ = "queue_skip"

    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT), primary_key=True)
    feature_id: Mapped[int] = mapped_column(
        ForeignKey(_FEATURE, ondelete="CASCADE"), primary_key=True
    )
    until: Mapped[Moment]


class Presence(Base):
    """That a person's page shows a feature; gone when its page is silent for a while."""

    __tablename__ = "presence"

    feature_id: Mapped[int] = mapped_column(
        ForeignKey(_FEATURE, ondelete="CASCADE"), primary_key=True
    )
    #: One page of one browser.
    viewer: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    seen_at: Mapped[Moment]


class BulkAction(Base):
    """One action on many features: first what it would do, then what it did."""

    __tablename__ = "bulk_action"

    id: Mapped[BigId]
    token: Mapped[str] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(_ACCOUNT))
    action: Mapped[dict[str, Any]]
    #: The version of each feature when it was looked at, by feature id; in order.
    features: Mapped[list[Any]] = mapped_column(JSONB)
    created_at: Mapped[Created]
    applied_at: Mapped[Moment | None]
    undone_at: Mapped[Moment | None]
