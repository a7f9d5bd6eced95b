"""Everything that people have said of one feature, and verdicts as they were given."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from scopebook.db.account_tables import Account
from scopebook.db.label_tables import Label
from scopebook.db.review_tables import Review, SecondOpinion
from scopebook.discussion import CommentView, comments_of
from scopebook.example_marks import MarkView, marks_of
from scopebook.feature_writes import version_of
from scopebook.histories import count_changes
from scopebook.label_rule import CLAUSES, clauses_of
from scopebook.labels import LabelView, chosen_grouping, labels_of
from scopebook.paging import decode_cursor, encode_cursor
from scopebook.reviews import pinned_label, shown_run
from scopebook.sense_labels import SenseLabels, sense_labels
from scopebook.tags import GivenTag, tags_of


@dataclass(frozen=True, kw_only=True)
class ReviewView:
    """A person's verdict on a label that stands."""

    label_id: int
    author: str
    verdict: str
    reason: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class OpinionView:
    """Somebody's open wish for another's verdict."""

    id: int
    author: str
    reason: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a label is in force: which clause of the rule decided, in a sentence."""

    label_id: int
    clause: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class AnnotationView:
    """What people have said of a feature, at one version."""

    feature_id: int
    version: int
    #: The labels in force, and those on which somebody's verdict stands.
    labels: list[LabelView]
    reviews: list[ReviewView]
    reasons: list[Reason]
    #: What an editor has pinned for the feature as a whole.
    pinned: int | None
    #: Which of the labels speak of each sense.
    senses: list[SenseLabels]
    second_opinions: list[OpinionView]
    tags: list[GivenTag]
    marks: list[MarkView]
    comments: list[CommentView]
    #: Whether its senses are parted by a person.
    grouped: bool
    changes: int


def annotation_of(session: Session, feature_id: int) -> AnnotationView:
    """Return all that people have said of a feature."""
    reviews = reviews_of(session, feature_id)
    run_id = shown_run(session, feature_id)
    clauses = clauses_of(session, feature_id)
    judged = {review.label_id for review in reviews}
    labels = [it for it in labels_of(session, feature_id) if it.current or it.id in judged]
    return AnnotationView(
        feature_id=feature_id,
        version=version_of(session, feature_id),
        labels=labels,
        reviews=reviews,
        reasons=[
            Reason(label_id=label_id, clause=clause, sentence=CLAUSES[clause])
            for label_id, clause in sorted(clauses.items())
        ],
        pinned=pinned_label(session, feature_id, None),
        senses=[] if run_id is None else sense_labels(session, feature_id, run_id, labels),
        second_opinions=_open_opinions(session, feature_id),
        tags=tags_of(session, feature_id),
        marks=marks_of(session, feature_id),
        comments=comments_of(session, feature_id),
        grouped=run_id is not None and chosen_grouping(session, feature_id, run_id) is not None,
        changes=count_changes(session, feature_id),
    )


def reviews_of(session: Session, feature_id: int) -> list[ReviewView]:
    """Return each person's verdict that stands on each label, the newest first."""
    standing = (
        select(Review.id)
        .where(Review.feature_id == feature_id)
        .ext(distinct_on(Review.label_id, Review.account_id))
        .order_by(Review.label_id, Review.account_id, Review.id.desc())
    )
    rows = session.execute(
        select(Review, Account.name)
        .join(Account, Account.id == Review.account_id)
        .where(Review.id.in_(standing), Review.verdict != "withdrawn")
        .order_by(Review.id.desc())
    )
    return [
        ReviewView(
            label_id=review.label_id,
            author=name,
            verdict=review.verdict,
            reason=review.reason,
            created_at=review.created_at,
        )
        for review, name in rows
    ]


def _open_opinions(session: Session, feature_id: int) -> list[OpinionView]:
    rows = session.execute(
        select(SecondOpinion, Account.name)
        .join(Account, Account.id == SecondOpinion.account_id)
        .where(SecondOpinion.feature_id == feature_id, SecondOpinion.closed_at.is_(None))
        .order_by(SecondOpinion.id)
    )
    return [
        OpinionView(id=asked.id, author=name, reason=asked.reason, created_at=asked.created_at)
        for asked, name in rows
    ]


@dataclass(frozen=True, kw_only=True)
class GivenReview:
    """A verdict as it was given, also where it does not stand any more."""

    id: int
    feature_id: int
    label_id: int
    label: str
    author: str
    verdict: str
    reason: str | None
    created_at: datetime


def list_reviews(
    session: Session,
    *,
    author: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[GivenReview], str | None]:
    """Return verdicts as they were given, newest first, and the next page's cursor."""
    statement = (
        select(Review, Account.name, Label.text)
        .join(Account, Account.id == Review.account_id)
        .join(Label, Label.id == Review.label_id)
        .order_by(Review.id.desc())
        .limit(limit + 1)
    )
    if author is not None:
        statement = statement.where(Account.name == author)
    if cursor is not None:
        statement = statement.where(Review.id < decode_cursor(cursor, [int])[0])
    rows = session.execute(statement).all()
    given = [
        GivenReview(
            id=review.id,
            feature_id=review.feature_id,
            label_id=review.label_id,
            label=words,
            author=name,
            verdict=review.verdict,
            reason=review.reason,
            created_at=review.created_at,
        )
        for review, name, words in rows[:limit]
    ]
    return given, encode_cursor([given[-1].id]) if len(rows) > limit else None
