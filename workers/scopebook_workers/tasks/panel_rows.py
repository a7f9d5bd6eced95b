"""Read a run's panel from the dictionary, and who stands beside a feature."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from scopebook.artifacts import open_artifact
from scopebook.db.label_tables import Panel as PanelRow
from scopebook.packing import unpack_pairs
from scopebook_workers.labeling.scoring.panel import Panel
from scopebook_workers.tasks.evidence_rows import EvidenceReader

#: Features with the nearest directions, whose peaks are tried.
_NEIGHBOURS = 5


def read_panel(
    session: Session, reader: EvidenceReader, *, sae_id: int, run_id: int
) -> Panel | None:
    """Return where the features of an SAE fire in the contexts drawn of a run; None: not drawn."""
    row = session.get(PanelRow, (run_id, sae_id))
    if row is None:
        return None
    with open_artifact(row.artifact) as file, np.load(file, allow_pickle=False) as arrays:
        return Panel(
            passages=reader.passages(session, arrays["context_ids"].tolist()),
            starts=arrays["starts"],
            contexts=arrays["contexts"],
            peaks=arrays["peaks"],
            activations=arrays["activations"],
        )


def nearest_of(packed: bytes) -> Sequence[int]:
    """Return the numbers of the features with the nearest decoder directions, nearest first."""
    return [index for index, _ in unpack_pairs(packed)[:_NEIGHBOURS]]
