"""Check what a language model has said, and end its labeling: no label is in force before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, exists, func, insert, select, update
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label, Labeling, LabelOutcome, LabelScore, Sense
from scopebook.labelings import finish_labeling, named_features, settle_labels
from scopebook.llm_labelings import supersede


@dataclass(frozen=True, kw_only=True)
class LabelToCheck:
    """A label that no check has seen, and its examples that nobody who worded it saw."""

    label_id: int
    feature_id: int
    text: str
    description: str | None
    held_out: list[int]


def labels_to_check(session: Session, labeling_id: int, *, limit: int) -> list[LabelToCheck]:
    """Return some labels of a labeling that have no support score yet, in feature order."""
    labeling = session.get_one(Labeling, labeling_id)
    rows = session.execute(
        select(Label, Sense.ordinal, LabelOutcome.held_out)
        .join(
            LabelOutcome,
            (LabelOutcome.labeling_id == Label.labeling_id)
            & (LabelOutcome.feature_id == Label.feature_id),
        )
        .outerjoin(Sense, Sense.id == Label.sense_id)
        .where(Label.labeling_id == labeling_id, _unchecked())
        .order_by(Label.feature_id, Label.id)
        .limit(limit)
    ).all()
    by_sense = _held_out_by_sense(session, labeling, [row.Label.feature_id for row in rows])
    return [
        LabelToCheck(
            label_id=row.Label.id,
            feature_id=row.Label.feature_id,
            text=row.Label.text,
            description=row.Label.description,
            held_out=list(row.held_out)
            if row.ordinal is None
            else [
                place
                for ordinal in (row.ordinal, *row.Label.also)
                for place in by_sense.get((row.Label.feature_id, ordinal), [])
            ],
        )
        for row in rows
    ]


def count_to_check(session: Session, labeling_id: int) -> int:
    """Return how many labels of a labeling have no support score yet."""
    wanted = select(func.count()).where(Label.labeling_id == labeling_id, _unchecked())
    return session.scalar(wanted) or 0


def _unchecked() -> ColumnElement[bool]:
    return ~exists().where(LabelScore.label_id == Label.id, LabelScore.scorer == "support")


def _held_out_by_sense(
    session: Session, labeling: Labeling, feature_ids: Sequence[int]
) -> dict[tuple[int, int], list[int]]:
    rows = session.execute(
        select(Sense.feature_id, Sense.ordinal, Sense.held_out).where(
            Sense.labeling_id == labeling.base_id, Sense.feature_id.in_(feature_ids)
        )
    )
    return {(row.feature_id, row.ordinal): list(row.held_out) for row in rows}


def note_support(
    session: Session, scores: Sequence[Mapping[str, Any]], suspects: Sequence[int]
) -> None:
    """Add support scores (columns of `LabelScore`), and mark labels that are not supported."""
    if scores:
        session.execute(insert(LabelScore), list(scores))
    if suspects:
        session.execute(update(Label).where(Label.id.in_(suspects)).values(status="suspect"))


SUSPECT_REASON: Final = (
    "It fits the feature's unseen examples no better than those of other features."
)


def conclude_labeling(session: Session, labeling_id: int) -> None:
    """End a labeling whose labels are checked: word mixed features, and settle what is in force."""
    labeling = session.get_one(Labeling, labeling_id)
    if labeling.finished_at is None:
        _mark_suspects(session, labeling_id)
        _word_mixed(session, labeling)
        finish_labeling(session, labeling_id)
    settle_labels(session, [labeling.sae_id], named_features(labeling))


def _mark_suspects(session: Session, labeling_id: int) -> None:
    """Let a feature's outcome be suspect where none of its labels is supported."""
    supported = exists().where(
        Label.labeling_id == labeling_id,
        Label.feature_id == LabelOutcome.feature_id,
        Label.status == "ok",
    )
    session.execute(
        update(LabelOutcome)
        .where(LabelOutcome.labeling_id == labeling_id, LabelOutcome.status == "ok", ~supported)
        .values(status="suspect", reason=SUSPECT_REASON)
    )


#: Of a feature of several senses the wordings of so many are joined.
_JOINED: Final = 3
_LONGEST: Final = 120


def _word_mixed(session: Session, labeling: Labeling) -> None:
    """Give features of several senses a label of their own: those of their senses, joined."""
    rows = session.scalars(
        select(Label)
        .join(Sense, Sense.id == Label.sense_id)
        .where(Label.labeling_id == labeling.id, Label.status == "ok")
        .order_by(Label.feature_id, Sense.ordinal)
    ).all()
    of_feature: dict[int, list[Label]] = {}
    for label in rows:
        of_feature.setdefault(label.feature_id, []).append(label)
    new = [_joined(labeling, labels) for labels in of_feature.values()]
    supersede(session, new)
    if new:
        session.execute(insert(Label), new)


def _joined(labeling: Labeling, labels: Sequence[Label]) -> dict[str, Any]:
    texts: list[str] = []
    for label in labels[:_JOINED]:
        if not texts or len(" / ".join([*texts, label.text])) <= _LONGEST:
            texts.append(label.text)
    confidences = [label.confidence for label in labels if label.confidence is not None]
    return {
        "feature_id": labels[0].feature_id,
        "sae_id": labeling.sae_id,
        "labeling_id": labeling.id,
        "sense_id": None,
        "text": " / ".join(texts),
        "description": None,
        "kind": "mixed" if len(labels) > 1 else labels[0].kind,
        "confidence": min(confidences, default=None),
        "source": "llm",
        "method": labeling.method,
        "n_examples": sum(label.n_examples or 0 for label in labels),
        "share": sum(label.share or 0.0 for label in labels),
        "supersedes_id": None,
        "provenance": {},
        "current": False,
    }
