"""Delete a corpus or a scan with everything that was derived from it, as a job.

First nothing new can begin on it, in the transaction of whoever asks: the row names the job. A
worker then deletes rows (`scopebook.deletion_rows`), and once they are gone the files that they
named. A job that was killed, cancelled or has failed goes on when the same is asked again.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from scopebook.accounts import Actor
from scopebook.audit import record
from scopebook.corpora import is_registered
from scopebook.db.arrays import among
from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Panel
from scopebook.db.map_tables import FeatureMap
from scopebook.db.scan_tables import Scan
from scopebook.db.tables import Corpus
from scopebook.deletion_extent import Extent, extent_of, refuse_while_used
from scopebook.errors import ConflictError, NotFoundError
from scopebook.job_ends import LARGEST_ID
from scopebook.jobs import DELETE_FILES, DELETE_ROWS
from scopebook.jobs_under_way import DELETE_JOB
from scopebook.steps import NewStep, add_steps, create_job, retry_job

_CORPUS: Final[Any] = Corpus.__table__.c
_SCAN: Final[Any] = Scan.__table__.c


def corpus_to_delete(session: Session, wanted: str | int) -> Row[int, str, int | None]:
    """Return a registered corpus by its name or number; raise NotFoundError for none."""
    which = Corpus.name == wanted if isinstance(wanted, str) else Corpus.id == _number(wanted)
    row = session.execute(
        select(Corpus.id, Corpus.name, Corpus.deletion_job_id).where(which, is_registered())
    ).one_or_none()
    if row is None:
        named = repr(wanted) if isinstance(wanted, str) else wanted
        raise NotFoundError(
            f"There is no corpus {named} here (any more); `scopebook corpus list` names those "
            "there are. Texts that were only scanned go with their scan."
        )
    return row


def scan_to_delete(session: Session, scan_id: int) -> Row[int, str, int | None]:
    """Return a scan that who asks may see; raise NotFoundError for none."""
    row = session.execute(
        select(Scan.id, Scan.dataset, Scan.deletion_job_id).where(Scan.id == _number(scan_id))
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"There is no scan {scan_id} (any more); `scopebook scans` lists those there are."
        )
    return row


def _number(wanted: int) -> int:
    return wanted if 0 < wanted <= LARGEST_ID else 0


def request_corpus_deletion(session: Session, wanted: str | int, *, by: Actor) -> int:
    """Return the job that deletes a corpus with all that was derived from it.

    Raises ConflictError while a job uses it, while texts are added to it, and while another job
    deletes it; NotFoundError where it is gone.
    """
    found = corpus_to_delete(session, wanted)
    # Whoever begins something on it shares this row until it has committed.
    _hold(session, _CORPUS, [found.id])
    found = corpus_to_delete(session, found.id)
    if found.deletion_job_id is not None:
        return _go_on(session, found.deletion_job_id, f"The corpus {found.name!r}")
    adding = func.pg_try_advisory_xact_lock(func.hashtextextended(found.name, 0))
    if not session.scalar(select(adding)):
        raise ConflictError(
            f"Texts are being added to the corpus {found.name!r}; wait for that, or end it, and "
            "ask again."
        )
    extent = extent_of(session, corpora=[found.id])
    job_id = _begin(session, extent, f"Delete the corpus {found.name}")
    record(
        session,
        by,
        "deleted a corpus",
        found.name,
        job=job_id,
        runs=list(extent.runs),
        scans=list(extent.scans),
    )
    return job_id


def request_scan_deletion(session: Session, scan_id: int, *, by: Actor) -> int:
    """Return the job that deletes a scan, and its text where no other scan has it."""
    found = scan_to_delete(session, scan_id)
    _hold(session, _SCAN, [found.id])
    found = scan_to_delete(session, found.id)
    if found.deletion_job_id is not None:
        return _go_on(session, found.deletion_job_id, f"Scan {found.id}")
    extent = extent_of(session, scans=[found.id])
    _hold(session, _CORPUS, extent.corpora)
    job_id = _begin(session, extent, f"Delete scan {found.id} of {found.dataset}")
    record(session, by, "deleted a scan", f"{found.id} ({found.dataset})", job=job_id)
    return job_id


def _hold(session: Session, table: Any, ids: Sequence[int]) -> None:
    held = select(table.id).where(among(table.id, ids)).order_by(table.id)
    session.execute(held.with_for_update())


def _go_on(session: Session, job_id: int, what: str) -> int:
    """Go on with a deletion that has stopped; refuse where it is at work."""
    state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
    if state not in ("failed", "cancelled"):
        raise ConflictError(
            f"{what} is being deleted already, by job {job_id}: `scopebook jobs show {job_id}`."
        )
    retry_job(session, job_id)
    return job_id


def _begin(session: Session, extent: Extent, title: str) -> int:
    refuse_while_used(session, extent)
    job = create_job(session, DELETE_JOB, title, [])
    _mark(session, extent, job.id)
    add_steps(
        session,
        job.id,
        [
            NewStep(kind=DELETE_ROWS, stage=0, title="Delete what the database holds"),
            NewStep(
                kind=DELETE_FILES,
                stage=1,
                title="Delete files",
                parameters=files_of(session, extent),
            ),
        ],
    )
    return job.id


def _mark(session: Session, extent: Extent, job_id: int) -> None:
    """Let nothing new begin on what goes, and nobody find the texts of scans any more."""
    for model, ids in ((Corpus, extent.corpora), (Scan, extent.scans)):
        table: Any = model.__table__
        session.execute(update(table).where(among(table.c.id, ids)).values(deletion_job_id=job_id))
    session.execute(
        update(Corpus.__table__)  # type: ignore[arg-type]
        .where(among(_CORPUS.id, extent.corpora), ~is_registered_row())
        .values(name=func.concat("scan: deleted by job ", job_id, ", ", _CORPUS.id))
    )


def is_registered_row() -> Any:
    """Return the condition of `scopebook.corpora.is_registered` for the table itself."""
    owned = select(_SCAN.id).where(_SCAN.corpus_id == _CORPUS.id, _SCAN.owns_corpus)
    return ~owned.exists()


def files_of(session: Session, extent: Extent) -> dict[str, list[str]]:
    """Return the folders, the beginnings of names and the names of files that go."""
    panel: Any = Panel.__table__.c
    drawn: Any = FeatureMap.__table__.c
    return {
        "folders": [f"runs/{run}" for run in extent.runs]
        + [f"scans/{scan}" for scan in extent.scans],
        "names": sorted(
            {
                *session.scalars(select(panel.artifact).where(among(panel.run_id, extent.runs))),
                *session.scalars(select(drawn.artifact).where(among(drawn.id, extent.maps))),
            }
        ),
        "panels": [f"panels/run{run}-" for run in extent.runs],
    }


def widen(session: Session, job_id: int) -> Extent:
    """Return what a job of deletion deletes, with what came to be since it was asked for.

    Raises ConflictError where a job is at work with it that was asked for at the same moment.
    """
    found = extent_of(
        session,
        corpora=session.scalars(select(_CORPUS.id).where(_CORPUS.deletion_job_id == job_id)).all(),
        scans=session.scalars(select(_SCAN.id).where(_SCAN.deletion_job_id == job_id)).all(),
    )
    refuse_while_used(session, found, but=job_id)
    _mark(session, found, job_id)
    step = session.execute(
        select(Step).where(Step.job_id == job_id, Step.kind == DELETE_FILES)
    ).scalar_one()
    known, now = step.parameters, files_of(session, found)
    step.parameters = {name: sorted({*known[name], *now[name]}) for name in now}
    return found
