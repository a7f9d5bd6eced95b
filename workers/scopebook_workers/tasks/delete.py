"""Delete a corpus or a scan with all that was derived from it: rows first, then files."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.artifact_holds import removing
from scopebook.artifacts import list_artifacts, remove_artifact
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Sae
from scopebook.deletion_extent import Extent
from scopebook.deletion_rows import (
    FEATURES,
    forget_echoes,
    forget_features,
    forget_heads,
    forget_texts,
    show_another,
)
from scopebook.deletions import widen
from scopebook.jobs import DELETE_FILES, DELETE_ROWS
from scopebook.steps import Claim
from scopebook_workers.claims import Finish, Progress, step_task


@step_task(DELETE_ROWS)
def delete_rows(claim: Claim, progress: Progress) -> Finish:
    """Delete rows in transactions of some thousands; whoever follows a killed worker goes on."""
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        extent = widen(session, claim.job_id)
        widths = session.execute(
            select(Sae.id, Sae.d_sae).where(Sae.id.in_(extent.saes)).order_by(Sae.id)
        ).all()
    done, total = 0, sum(row.d_sae for row in widths)
    for row in widths:
        with unit_of_work(sessions()) as session:
            progress.hold(session)
            show_another(session, extent, row.id)
        for first in range(0, row.d_sae, FEATURES):
            last = min(first + FEATURES, row.d_sae) - 1
            with unit_of_work(sessions()) as session:
                progress.hold(session)
                forget_features(session, extent, row.id, first, last)
            progress(done + last + 1, total, "features")
        done += row.d_sae
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        forget_heads(session, extent)
    _delete_texts(extent, progress)

    def write(session: Session) -> None:
        forget_echoes(session, extent)

    return write


def _delete_texts(extent: Extent, progress: Progress) -> None:
    gone = 1
    while gone:
        progress.check()
        with unit_of_work(sessions()) as session:
            progress.hold(session)
            gone = forget_texts(session, extent)


@step_task(DELETE_FILES)
def delete_files(claim: Claim, progress: Progress) -> Finish:
    """Delete the files of what is gone, while no backup copies them."""
    wanted = claim.parameters
    with removing(sessions(), progress.check):
        names = [*wanted["names"]]
        for folder in wanted["folders"]:
            names += list_artifacts(folder)
        begin = tuple(wanted["panels"])
        names += [name for name in list_artifacts("panels") if begin and name.startswith(begin)]
        for place, name in enumerate(names):
            progress(place, len(names), "files")
            remove_artifact(name)
    return lambda session: None
