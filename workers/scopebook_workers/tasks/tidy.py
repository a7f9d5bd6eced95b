"""Remove the files of a run that nothing refers to any more."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from scopebook.artifact_holds import removing
from scopebook.artifacts import list_artifacts, remove_artifact
from scopebook.db.jobs import Job
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Run, RunState, Shard
from scopebook.jobs import TIDY_RUN
from scopebook.steps import Claim
from scopebook.window_vectors import remove_unused_vectors
from scopebook_workers.claims import Finish, Progress, step_task


@step_task(TIDY_RUN)
def tidy_run(claim: Claim, progress: Progress) -> Finish:
    """Remove the shards' results once all layers are merged, and what killed workers left.

    So too the states of the run that this one went on from: the next one goes on from this. The
    rows go first, so that none ever names a file that is gone. Vectors of windows by embedders
    that no labeling names go as well.
    """
    run_id = claim.parameters["run_id"]
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        base = session.get_one(Run, run_id).base_run_id
        session.execute(update(Shard).where(Shard.run_id == run_id).values(artifact=None))
        for state in _superseded(session, run_id, base):
            session.delete(state)
    for run in {run_id, base} - {None}:
        with removing(sessions(), progress.check):
            _remove_unnamed(run)
    with unit_of_work(sessions()) as session:
        progress.hold(session)
        remove_unused_vectors(session)
    return lambda session: None


def _remove_unnamed(run: int) -> None:
    with unit_of_work(sessions()) as session:
        kept = set(session.scalars(select(RunState.artifact).where(RunState.run_id == run)))
    for name in list_artifacts(f"runs/{run}"):
        if name not in kept:
            remove_artifact(name)


def _superseded(session: Session, run_id: int, base: int | None) -> list[RunState]:
    """Return the states of the base for the layers that this run has states of.

    None while another run may still go on from the base.
    """
    if base is None:
        return []
    waiting = (
        select(Run.id)
        .join(Job, Job.id == Run.job_id)
        .where(Run.base_run_id == base, Run.id != run_id, Job.state != "done")
    )
    if session.scalars(waiting.limit(1)).first() is not None:
        return []
    here = select(RunState.sae_id).where(RunState.run_id == run_id)
    return list(
        session.scalars(select(RunState).where(RunState.run_id == base, RunState.sae_id.in_(here)))
    )
