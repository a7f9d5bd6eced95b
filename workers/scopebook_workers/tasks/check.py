"""Check the labels of a language model against examples that it has not seen."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Labeling, LabelOutcome
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.embedders import embedder_name
from scopebook.jobs import CHECK_LABELS
from scopebook.label_checks import (
    LabelToCheck,
    conclude_labeling,
    count_to_check,
    labels_to_check,
    note_support,
)
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.prompts import shown_text
from scopebook_workers.labeling.support import support_of
from scopebook_workers.tasks.embed import embed_function
from scopebook_workers.tasks.materials import MaterialReader

VERSION: Final = "support-1"
#: Labels of one transaction.
BATCH: Final = 64
#: Unseen windows of a label, and windows of other features, all labels' the same.
_OWN: Final = 10
_FOREIGN: Final = 40

Vector = NDArray[np.float32]
Vectors = NDArray[np.float32]


@step_task(CHECK_LABELS)
def check_labels(claim: Claim, progress: Progress) -> Finish:
    """Check every label of the job's labelings that no check has seen, then end the labelings."""
    sae_ids: list[int] = claim.parameters["sae_ids"]
    with sessions()() as session:
        labelings = session.scalars(
            select(Labeling).where(
                Labeling.job_id == claim.job_id,
                Labeling.sae_id.in_(sae_ids),
                Labeling.source == "llm",
            )
        ).all()
        total = sum(count_to_check(session, labeling.id) for labeling in labelings)
    embed = embed_function()
    done = 0
    for labeling in labelings:
        checker = _Checker(labeling, embed)
        while batch := checker.next_batch():
            progress(done, total, "labels")
            scores, suspects = checker.check(batch, claim.job_id)
            with unit_of_work(sessions()) as session:
                progress.hold(session)
                note_support(session, scores, suspects)
            done += len(batch)

    def write(session: Session) -> None:
        for labeling in labelings:
            conclude_labeling(session, labeling.id)

    return write


class _Checker:
    """Checks labels of one labeling."""

    def __init__(
        self, labeling: Labeling, embed: Callable[[Sequence[str]], list[list[float]]]
    ) -> None:
        self._labeling, self._embed = labeling, embed
        with sessions()() as session:
            self._reader = MaterialReader(session.get_one(Labeling, labeling.base_id))
            self._foreign = self._foreign_windows(session)
        #: Only vectors that every label is compared with are kept from batch to batch.
        self._known = self._vectors({text for _, text in self._foreign}, {})

    def _foreign_windows(self, session: Session) -> list[tuple[int, str]]:
        """Return one unseen window each of features drawn by their number."""
        rows = session.execute(
            select(LabelOutcome.feature_id, LabelOutcome.held_out).where(
                LabelOutcome.labeling_id == self._labeling.base_id,
                LabelOutcome.status == "ok",
            )
        ).all()
        drawn = sorted((row for row in rows if row.held_out), key=lambda row: _lot(row.feature_id))
        places = {row.feature_id: row.held_out[0] for row in drawn[: 2 * _FOREIGN]}
        evidence = self._reader.evidence(session, list(places))
        return [(key, _window(evidence[key], place)) for key, place in places.items()]

    def next_batch(self) -> list[LabelToCheck]:
        """Return the next labels to check."""
        with sessions()() as session:
            return labels_to_check(session, self._labeling.id, limit=BATCH)

    def check(
        self, batch: Sequence[LabelToCheck], job_id: int
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """Return the labels' support scores, and which labels are suspect."""
        with sessions()() as session:
            evidence = self._reader.evidence(session, [label.feature_id for label in batch])
        own = [
            [_window(evidence[label.feature_id], at) for at in label.held_out[:_OWN]]
            for label in batch
        ]
        wanted = {*map(_words, batch), *(text for texts in own for text in texts)}
        known = self._vectors(wanted, self._known)
        scores, suspects = [], []
        for label, texts in zip(batch, own, strict=True):
            foreign = [text for key, text in self._foreign if key != label.feature_id][:_FOREIGN]
            score, holds = _score(label, texts, foreign, known)
            scores.append(score | {"job_id": job_id})
            if holds is False:
                suspects.append(label.label_id)
        return scores, suspects

    def _vectors(self, texts: set[str], known: Mapping[str, Vector]) -> dict[str, Vector]:
        """Return unit vectors by text: those of `texts`, beside the known ones."""
        missing = sorted(texts - known.keys())
        vectors = np.asarray(self._embed(missing), dtype=np.float32) if missing else ()
        return {**known, **dict(zip(missing, vectors, strict=True))}


def _score(
    label: LabelToCheck, own: Sequence[str], foreign: Sequence[str], known: Mapping[str, Vector]
) -> tuple[dict[str, Any], bool | None]:
    vector = known[_words(label)]
    found = support_of(
        vector,
        _stacked([known[text] for text in own], len(vector)),
        _stacked([known[text] for text in foreign], len(vector)),
    )
    judged = "\0".join([*own, "", *foreign]).encode("utf-8", "replace")
    return {
        "label_id": label.label_id,
        "scorer": "support",
        "scorer_version": VERSION,
        "judge": embedder_name(settings()),
        "n_pos": found.n_own,
        "n_neg_random": found.n_foreign,
        "n_neg_hard": 0,
        "n_failed": 0,
        "value": found.value,
        "ci_low": found.low,
        "ci_high": found.high,
        "null_value": 0.5,
        "held_out_sha256": hashlib.sha256(judged).digest(),
        "details": {"checked": found.holds is not None},
    }, found.holds


def _words(label: LabelToCheck) -> str:
    return f"{label.text}. {label.description}" if label.description else label.text


def _stacked(vectors: Sequence[Vector], dimension: int) -> Vectors:
    return np.stack(vectors) if vectors else np.empty((0, dimension), dtype=np.float32)


def _window(evidence: FeatureEvidence, place: int) -> str:
    firing = evidence.firings[place]
    return shown_text(firing.passage, firing.peak)


def _lot(feature_id: int) -> bytes:
    return hashlib.sha256(f"{VERSION}\0{feature_id & (2**20 - 1)}".encode()).digest()
