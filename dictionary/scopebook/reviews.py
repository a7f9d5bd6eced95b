"""What people say of labels: verdicts, proposals, pins, and the wish for a second opinion."""

from typing import Any, Final, Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from scopebook.accounts import is_person
from scopebook.db.account_tables import Account
from scopebook.db.label_tables import Label, Sense
from scopebook.db.review_tables import Change, Pin, Review, SecondOpinion
from scopebook.db.tables import Evidence, Sae
from scopebook.errors import ConflictError, InvalidInputError, NotFoundError
from scopebook.feature_writes import FeatureWrite, Said, needed, record, sentence
from scopebook.labels import labeling_in_force

Verdict = Literal["accept", "reject", "unsure", "withdrawn"]

LONGEST_LABEL: Final = 300
LONGEST_TEXT: Final = 4000


def find_label(session: Session, feature_id: int, label_id: int) -> Label:
    """Return a label of a feature."""
    label = session.get(Label, label_id)
    if label is None or label.feature_id != feature_id:
        raise NotFoundError(f"This feature has no label {label_id}; take an id from its labels.")
    return label


def standing_review(session: Session, label_id: int, account_id: int) -> Review | None:
    """Return the account's verdict on a label that stands."""
    return session.scalar(
        select(Review)
        .where(Review.label_id == label_id, Review.account_id == account_id)
        .order_by(Review.id.desc())
        .limit(1)
    )


def _why_never(label: Label) -> str:
    if label.status == "gone":
        return "lost its examples when their corpus was deleted"
    return "did not fit its own examples"


def review_label(
    session: Session, write: FeatureWrite, label_id: int, verdict: Verdict, reason: str | None
) -> Change:
    """Give a verdict on a label; it stands for the same person's earlier one."""
    label = find_label(session, write.feature_id, label_id)
    reason = sentence(reason, "reason", longest=LONGEST_TEXT)
    if verdict == "accept" and label.status != "ok":
        raise ConflictError(
            f"Label {label_id} {_why_never(label)}, so it is never in force; propose a wording of "
            "your own, which may be the same."
        )
    account_id = write.actor.account_id
    before = as_said(standing_review(session, label_id, account_id))
    if before == (None if verdict == "withdrawn" else {"verdict": verdict, "reason": reason}):
        raise ConflictError(
            f"Your verdict on label {label_id} is {verdict} already; nothing was changed."
        )
    review = add_review(session, write, label, verdict, reason)
    closed = [] if verdict == "withdrawn" else _close_opinions(session, write)
    after = as_said(review)
    return record(
        session,
        write,
        Said(
            kind="review",
            slot=f"review:{label_id}:{account_id}",
            rests=[f"label:{label_id}"],
            before=before,
            after=after and after | ({"closed": closed} if closed else {}),
            reason=reason,
            settles=True,
            ends_turn=label.sense_id is None,
        ),
    )


def as_said(review: Review | None) -> dict[str, Any] | None:
    """Return what the history keeps of a verdict."""
    if review is None or review.verdict == "withdrawn":
        return None
    return {"verdict": review.verdict, "reason": review.reason}


def add_review(
    session: Session,
    write: FeatureWrite,
    label: Label,
    verdict: Verdict,
    reason: str | None,
    *,
    account_id: int | None = None,
    counts: bool | None = None,
) -> Review:
    """Add a verdict, by default of who writes and as the rule says who may accept what."""
    account_id = account_id or write.actor.account_id
    if counts is None:
        counts = label.account_id != account_id or _may_accept_own(session, account_id)
    review = Review(
        feature_id=write.feature_id,
        label_id=label.id,
        account_id=account_id,
        verdict=verdict,
        reason=reason,
        counts=counts,
    )
    session.add(review)
    session.flush()
    return review


def _may_accept_own(session: Session, account_id: int) -> bool:
    """Tell whether a person's own word is enough: an editor's, or that of the only one there is."""
    role = session.get_one(Account, account_id).role
    others = session.scalar(
        select(func.count()).where(
            Account.id != account_id,
            Account.role.in_(("annotator", "editor", "admin")),
            Account.disabled_at.is_(None),
            is_person(),
        )
    )
    return role in ("editor", "admin") or not others


def _close_opinions(session: Session, write: FeatureWrite) -> list[int]:
    """Close the wishes of others that a verdict answers."""
    return list(
        session.scalars(
            update(SecondOpinion)
            .where(
                SecondOpinion.feature_id == write.feature_id,
                SecondOpinion.closed_at.is_(None),
                SecondOpinion.account_id != write.actor.account_id,
            )
            .values(closed_at=func.now())
            .returning(SecondOpinion.id)
        )
    )


def propose_label(
    session: Session,
    write: FeatureWrite,
    text: str,
    *,
    description: str | None = None,
    sense: int | None = None,
    supersedes_id: int | None = None,
    reason: str | None = None,
) -> tuple[Label, Change]:
    """Propose a wording of the feature, or of one of its senses; its author accepts it."""
    text = needed(text, "label", longest=LONGEST_LABEL)
    reason = sentence(reason, "reason", longest=LONGEST_TEXT)
    earlier = None
    if supersedes_id is not None:
        earlier = find_label(session, write.feature_id, supersedes_id)
    sense_id, also = _place(session, write.feature_id, sense, earlier)
    _refuse_twin(session, write.feature_id, sense_id, text)
    label = _own_label(write, text, sense_id, also, supersedes_id)
    label.description = sentence(description, "description", longest=LONGEST_TEXT)
    session.add(label)
    session.flush()
    add_review(session, write, label, "accept", None)
    change = record(
        session,
        write,
        Said(
            kind="propose",
            slot=f"label:{label.id}",
            rests=[f"label:{supersedes_id}"] if supersedes_id else [],
            before={"label_id": earlier.id, "text": earlier.text} if earlier else None,
            after={"label_id": label.id, "text": text, "sense": sense},
            reason=reason,
            settles=True,
            ends_turn=sense_id is None,
        ),
    )
    return label, change


def _own_label(
    write: FeatureWrite, text: str, sense_id: int | None, also: list[int], supersedes_id: int | None
) -> Label:
    return Label(
        feature_id=write.feature_id,
        sae_id=write.sae_id,
        sense_id=sense_id,
        also=also,
        text=text,
        source="person",
        method="proposal",
        author=write.actor.name,
        account_id=write.actor.account_id,
        provenance={},
        supersedes_id=supersedes_id,
        current=False,
    )


def _place(
    session: Session, feature_id: int, ordinal: int | None, earlier: Label | None
) -> tuple[int | None, list[int]]:
    """Return the sense that a proposal words, and which others with it."""
    if ordinal is None:
        return (None, []) if earlier is None else (earlier.sense_id, list(earlier.also))
    sense = find_sense(session, feature_id, ordinal)
    worded = session.scalar(select(Label).where(Label.sense_id == sense.id, Label.current).limit(1))
    return sense.id, [] if worded is None else list(worded.also)


def find_sense(session: Session, feature_id: int, ordinal: int) -> Sense:
    """Return a sense of the examples that the dictionary shows."""
    run_id = shown_run(session, feature_id)
    labeling = None if run_id is None else labeling_in_force(session, feature_id, run_id)
    sense = labeling and session.scalar(
        select(Sense).where(
            Sense.feature_id == feature_id,
            Sense.labeling_id == (labeling.base_id or labeling.id),
            Sense.ordinal == ordinal,
        )
    )
    if not sense:
        raise NotFoundError(f"This feature has no sense {ordinal}; take one from its senses.")
    return sense


def shown_run(session: Session, feature_id: int) -> int | None:
    """Return the run whose evidence of a feature is shown."""
    return session.scalar(
        select(Evidence.run_id)
        .join(Sae, Sae.current_run_id == Evidence.run_id)
        .where(Evidence.feature_id == feature_id)
        .limit(1)
    )


def _refuse_twin(session: Session, feature_id: int, sense_id: int | None, text: str) -> None:
    """Refuse a wording that a person has proposed already and still stands by."""
    twins = session.scalars(
        select(Label).where(
            Label.feature_id == feature_id,
            Label.sense_id.is_not_distinct_from(sense_id),
            Label.source == "person",
            Label.text == text,
        )
    )
    for twin in twins:
        review = twin.account_id and standing_review(session, twin.id, twin.account_id)
        if review and review.verdict == "accept":
            raise ConflictError(
                f"{twin.author} has proposed these very words as label {twin.id}; accept that one."
            )


def pin_label(
    session: Session,
    write: FeatureWrite,
    label_id: int | None,
    *,
    sense: int | None = None,
    reason: str | None = None,
) -> Change:
    """Keep a label in force whatever people say of others; without one, let the rule decide."""
    write.actor.require("editor")
    reason = needed(reason, "reason", longest=LONGEST_TEXT)
    if label_id is None:
        sense_id = None if sense is None else find_sense(session, write.feature_id, sense).id
    else:
        label = find_label(session, write.feature_id, label_id)
        if label.status != "ok":
            raise InvalidInputError(
                f"Label {label_id} {_why_never(label)}, so it cannot be pinned; propose a wording "
                "of your own and pin that."
            )
        sense_id = label.sense_id
    before = pinned_label(session, write.feature_id, sense_id)
    if before == label_id:
        raise ConflictError(
            "No label is pinned there." if label_id is None else f"Label {label_id} is pinned."
        )
    add_pin(session, write, sense_id, label_id, reason)
    return record(
        session,
        write,
        Said(
            kind="pin",
            slot=f"pin:{sense_id or 0}",
            rests=[f"label:{label_id}"] if label_id else [],
            before={"label_id": before} if before else None,
            after={"label_id": label_id} if label_id else None,
            reason=reason,
            settles=True,
        ),
    )


def pinned_label(session: Session, feature_id: int, sense_id: int | None) -> int | None:
    """Return the label that is pinned for the feature or one of its senses."""
    return session.scalar(
        select(Pin.label_id)
        .where(Pin.feature_id == feature_id, Pin.sense_id.is_not_distinct_from(sense_id))
        .order_by(Pin.id.desc())
        .limit(1)
    )


def add_pin(
    session: Session,
    write: FeatureWrite,
    sense_id: int | None,
    label_id: int | None,
    reason: str | None,
) -> None:
    """Add what is pinned from now on."""
    session.add(
        Pin(
            feature_id=write.feature_id,
            sense_id=sense_id,
            label_id=label_id,
            account_id=write.actor.account_id,
            reason=reason,
        )
    )
    session.flush()


def ask_second_opinion(session: Session, write: FeatureWrite, reason: str | None) -> Change:
    """Ask for another person's verdict: the queue hands the feature to others first."""
    reason = sentence(reason, "reason", longest=LONGEST_TEXT)
    open_one = session.scalar(
        select(SecondOpinion.id).where(
            SecondOpinion.feature_id == write.feature_id,
            SecondOpinion.account_id == write.actor.account_id,
            SecondOpinion.closed_at.is_(None),
        )
    )
    if open_one is not None:
        raise ConflictError("You have asked for a second opinion here already.")
    asked = SecondOpinion(
        feature_id=write.feature_id, account_id=write.actor.account_id, reason=reason
    )
    session.add(asked)
    session.flush()
    return record(
        session,
        write,
        Said(
            kind="second_opinion",
            slot=f"opinion:{asked.id}",
            after={"reason": reason},
            reason=reason,
            settles=True,
        ),
    )
