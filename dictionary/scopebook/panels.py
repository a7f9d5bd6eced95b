"""Panels: contexts of a run for which it is known of every feature whether it fires."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Panel
from scopebook.db.tables import Sae
from scopebook.jobs import COMPUTE_PANEL
from scopebook.steps import NewStep


def panel_steps(session: Session, saes: Sequence[Sae]) -> list[NewStep]:
    """Return a step for each run that no panel is drawn of yet, for some of the layers."""
    known = {
        (panel.run_id, panel.sae_id)
        for panel in session.scalars(
            select(Panel).where(Panel.sae_id.in_([sae.id for sae in saes]))
        )
    }
    missing = {sae.current_run_id for sae in saes if (sae.current_run_id, sae.id) not in known}
    return [
        NewStep(
            kind=COMPUTE_PANEL,
            stage=0,
            title=f"Find where features are silent in run {run_id}",
            parameters={"run_id": run_id},
        )
        for run_id in sorted(run_id for run_id in missing if run_id is not None)
    ]
