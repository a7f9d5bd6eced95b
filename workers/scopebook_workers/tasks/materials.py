"""Read from the dictionary what a wording may rest on: senses, and the examples behind them."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Labeling, LabelOutcome, Sense
from scopebook.db.tables import Feature
from scopebook.packing import unpack_pairs
from scopebook_workers.labeling.contrasts import ContrastFinder
from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.material import Cluster, Kind, Material
from scopebook_workers.tasks.evidence_rows import EvidenceReader
from scopebook_workers.tasks.panel_rows import nearest_of, read_panel
from scopebook_workers.tasks.score_plan import index_of

#: Representatives of a sense, where its labeling has kept none: its strongest members.
_SHOWN = 8
_PROMOTED = 8

#: A feature's id, and what its direction promotes and stands beside, packed.
_Row = Row[int, bytes, bytes]


class MaterialReader:
    """Reads the material of features of one labeling by keywords.

    It reads the run's panel once, with the first features.
    """

    def __init__(self, base: Labeling) -> None:
        self._base_id, self._sae_id, self._run_id = base.id, base.sae_id, base.run_id
        #: None where the run has no panel: then nobody knows where a feature is silent.
        self._contrasts: ContrastFinder | None = None
        self._panel_is_read = False
        self._reader = EvidenceReader(sae_id=base.sae_id, run_id=base.run_id)

    def evidence(self, session: Session, feature_ids: Sequence[int]) -> dict[int, FeatureEvidence]:
        """Return the features' examples by row id."""
        read = self._reader.read(session, feature_ids)
        return {feature.feature_id: feature.evidence for feature in read}

    def read(self, session: Session, feature_ids: Sequence[int]) -> dict[int, Material]:
        """Return the features' material by row id."""
        found = self.evidence(session, feature_ids)
        senses: dict[int, list[Sense]] = {}
        for sense in session.scalars(
            select(Sense)
            .where(Sense.labeling_id == self._base_id, Sense.feature_id.in_(feature_ids))
            .order_by(Sense.feature_id, Sense.ordinal)
        ):
            senses.setdefault(sense.feature_id, []).append(sense)
        outcomes = {
            outcome.feature_id: outcome
            for outcome in session.scalars(
                select(LabelOutcome).where(
                    LabelOutcome.labeling_id == self._base_id,
                    LabelOutcome.feature_id.in_(feature_ids),
                )
            )
        }
        rows = session.execute(
            select(Feature.id, Feature.promoted, Feature.neighbours).where(
                Feature.id.in_(feature_ids)
            )
        ).all()
        promoted = self._promoted(session, rows)
        materials = {
            feature_id: _material(
                found[feature_id],
                senses[feature_id],
                outcomes[feature_id],
                promoted.get(feature_id, []),
            )
            for feature_id in feature_ids
            if feature_id in found and senses.get(feature_id)
        }
        return self._with_contrasts(session, materials, rows)

    def _with_contrasts(
        self, session: Session, materials: dict[int, Material], rows: Sequence[_Row]
    ) -> dict[int, Material]:
        """Add what resembles the examples and does not fire, where the run has a panel."""
        if not self._panel_is_read:
            self._panel_is_read = True
            panel = read_panel(session, self._reader, sae_id=self._sae_id, run_id=self._run_id)
            self._contrasts = None if panel is None else ContrastFinder(panel)
        if self._contrasts is None:
            return materials
        found = self._contrasts.find(
            {index_of(key): material for key, material in materials.items()},
            {index_of(row.id): nearest_of(row.neighbours) for row in rows},
        )
        return {
            key: replace(material, contrasts=found[index_of(key)])
            for key, material in materials.items()
        }

    def _promoted(self, session: Session, rows: Sequence[_Row]) -> dict[int, list[str]]:
        tokens = {
            row.id: [token for token, _ in unpack_pairs(row.promoted)[:_PROMOTED]] for row in rows
        }
        pieces = self._reader.pieces(session, {t for some in tokens.values() for t in some})
        return {
            feature_id: [pieces[token].decode("utf-8", "replace") for token in some]
            for feature_id, some in tokens.items()
        }


def _material(
    evidence: FeatureEvidence,
    senses: Sequence[Sense],
    outcome: LabelOutcome,
    promoted: Sequence[str],
) -> Material:
    kinds: dict[str | None, Kind] = {"token": "token", "position": "position"}
    return Material(
        kind=kinds.get(outcome.kind, "context"),
        firings=evidence.firings,
        clusters=[_cluster(sense) for sense in senses],
        unassigned=outcome.unassigned or 0.0,
        held_out=list(outcome.held_out),
        promoted=promoted,
    )


def _cluster(sense: Sense) -> Cluster:
    return Cluster(
        members=list(sense.members),
        medoid=sense.members[0] if sense.medoid is None else sense.medoid,
        share=sense.share,
        keywords=list(sense.keywords),
        representatives=list(sense.representatives) or list(sense.members[:_SHOWN]),
        held_out=list(sense.held_out),
        silhouette=sense.silhouette,
    )
