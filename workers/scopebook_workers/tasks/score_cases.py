"""Read from the dictionary what labels are tried on: unseen examples, and windows without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions
from scopebook.db.tables import Feature
from scopebook.errors import NotFoundError
from scopebook.label_scores import LabelToScore
from scopebook_workers.labeling.evidence import Firing
from scopebook_workers.labeling.prompts import shown_text
from scopebook_workers.labeling.sampling import may_contrast
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel, detection_cases
from scopebook_workers.labeling.scoring.negatives import Negatives, Search, choose_negatives
from scopebook_workers.labeling.scoring.panel import Panel
from scopebook_workers.tasks.evidence_rows import EvidenceReader
from scopebook_workers.tasks.panel_rows import nearest_of, read_panel
from scopebook_workers.tasks.score_plan import index_of, lot_of

#: Features of which one unseen example each stands in where the panel has too few windows.
_FOREIGN: Final = 80

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], list[list[float]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A label with the windows it is tried on."""

    label: LabelToScore
    #: Names the feature and the senses, the same on every instance.
    key: str
    positives: Sequence[Firing]
    cases: Sequence[Case]
    #: Of the label, and of each case.
    vector: Vectors
    windows: Vectors
    #: Examples of the label's senses, and such of other senses and features.
    own: Sequence[Firing]
    strangers: Sequence[Firing]
    shortage: str | None

    @property
    def has_both_kinds(self) -> bool:
        """Whether something fires and something does not, so that the label can be tried."""
        return len({case.fires for case in self.cases}) == 2


def judged(label: LabelToScore) -> JudgedLabel:
    """Return a label as a judge reads it."""
    return JudgedLabel(text=label.text, description=label.description or "")


class CaseReader:
    """Reads the cases of one SAE's labels, on the examples of one run.

    It reads in sessions of its own, so that none is open while windows are embedded.
    """

    def __init__(
        self, *, sae_id: int, run_id: int, labels: Sequence[LabelToScore], embed: Embed
    ) -> None:
        self._embed = embed
        self._senses: dict[int, list[LabelToScore]] = {}
        for label in labels:
            if label.senses:
                self._senses.setdefault(label.feature_id, []).append(label)
        self._reader = EvidenceReader(sae_id=sae_id, run_id=run_id)
        with sessions()() as session:
            panel = _read_panel(session, self._reader, sae_id=sae_id, run_id=run_id)
            self._foreign = self._foreign_examples(session, labels)
        windows = panel.quiets()
        texts = [shown_text(quiet.passage, quiet.center) for quiet in windows]
        vectors = self._vectors(texts)
        self._known = dict(zip(texts, vectors, strict=True))
        self._search = Search(panel=panel, windows=windows, vectors=vectors)

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._embed(texts), dtype=np.float32)

    def _foreign_examples(
        self, session: Session, labels: Sequence[LabelToScore]
    ) -> dict[int, Firing]:
        """Return an unseen example each of features drawn by their number."""
        places = {
            label.feature_id: label.feature_held_out[0]
            for label in labels
            if label.feature_held_out
        }
        drawn = sorted(places, key=lot_of)[:_FOREIGN]
        found = {
            feature.feature_id: feature.evidence.firings[places[feature.feature_id]]
            for feature in self._reader.read(session, drawn)
        }
        return {
            feature_id: firing
            for feature_id, firing in found.items()
            if not may_contrast(firing.passage.document_hash)
        }

    def prepare(self, labels: Sequence[LabelToScore]) -> list[Prepared]:
        """Return the labels with their cases, in order; all their windows are embedded at once."""
        features = sorted({label.feature_id for label in labels})
        with sessions()() as session:
            firings = {
                feature.feature_id: feature.evidence.firings
                for feature in self._reader.read(session, features)
            }
            near = _neighbours(session, features)
        positives = {
            label.id: [firings[label.feature_id][place] for place in label.held_out]
            for label in labels
        }
        known = self._embedded(
            [_window(firing) for found in positives.values() for firing in found]
        )
        chosen = [
            self._choose(label, firings, near, positives[label.id], known) for label in labels
        ]
        cases = [
            detection_cases(positives[label.id], found.random, found.hard, key=_key(label))
            for label, found in zip(labels, chosen, strict=True)
        ]
        texts = [shown_text(case.passage, case.center) for some in cases for case in some]
        known = self._embedded([*map(_words, labels), *texts], known)
        return [
            Prepared(
                label=label,
                key=_key(label),
                positives=positives[label.id],
                cases=some,
                vector=known[_words(label)],
                windows=_stacked([known[shown_text(c.passage, c.center)] for c in some]),
                own=[firings[label.feature_id][place] for place in label.members],
                strangers=self._strangers(label, firings[label.feature_id]),
                shortage=found.shortage(),
            )
            for label, found, some in zip(labels, chosen, cases, strict=True)
        ]

    def _embedded(
        self, texts: Sequence[str], known: dict[str, Vectors] | None = None
    ) -> dict[str, Vectors]:
        """Return vectors by text; the panel's are there, and so are those in `known`."""
        found = {**self._known, **(known or {})}
        missing = sorted({text for text in texts if text not in found})
        if missing:
            found.update(zip(missing, self._vectors(missing), strict=True))
        return found

    def _choose(
        self,
        label: LabelToScore,
        firings: dict[int, Sequence[Firing]],
        near: dict[int, list[int]],
        positives: Sequence[Firing],
        known: dict[str, Vectors],
    ) -> Negatives:
        return choose_negatives(
            self._search,
            index_of(label.feature_id),
            # All labels of a feature meet the same drawn windows.
            key=str(index_of(label.feature_id)),
            firings=firings[label.feature_id],
            held_out=label.feature_held_out,
            positive_vectors=_stacked([known[_window(firing)] for firing in positives]),
            neighbours=near[label.feature_id],
            foreign=[f for key, f in self._foreign.items() if key != label.feature_id],
        )

    def _strangers(self, label: LabelToScore, firings: Sequence[Firing]) -> list[Firing]:
        """Return examples of the feature's other senses, and of other features."""
        own = set(label.members)
        beside = [
            firings[place]
            for other in self._senses.get(label.feature_id, [])
            for place in other.members
            if place not in own
        ]
        foreign = [f for key, f in self._foreign.items() if key != label.feature_id]
        return [*beside[: len(foreign)], *foreign]


def _read_panel(session: Session, reader: EvidenceReader, *, sae_id: int, run_id: int) -> Panel:
    """Return the panel without the texts that whoever words a feature may be shown as contrasts."""
    panel = read_panel(session, reader, sae_id=sae_id, run_id=run_id)
    if panel is None:
        raise NotFoundError(
            f"Run {run_id} has no panel for the SAE {sae_id}; ask for the scores again."
        )
    return panel.only([not may_contrast(passage.document_hash) for passage in panel.passages])


def _neighbours(session: Session, feature_ids: Sequence[int]) -> dict[int, list[int]]:
    """Return the numbers of the features with the nearest decoder directions, nearest first."""
    rows = session.execute(
        select(Feature.id, Feature.neighbours).where(Feature.id.in_(feature_ids))
    )
    return {row.id: list(nearest_of(row.neighbours)) for row in rows}


def _key(label: LabelToScore) -> str:
    senses = "+".join(map(str, label.senses))
    return f"{index_of(label.feature_id)}/{senses}"


def _words(label: LabelToScore) -> str:
    return f"{label.text}. {label.description}" if label.description else label.text


def _window(firing: Firing) -> str:
    return shown_text(firing.passage, firing.peak)


def _stacked(vectors: Sequence[Vectors]) -> Vectors:
    return np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float32)
