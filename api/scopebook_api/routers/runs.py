"""Collections: ask for one, list them, choose which one the dictionary shows."""

from typing import Annotated

from fastapi import APIRouter, Query

from scopebook.job_reports import JobReport, read_job
from scopebook.run_reports import RunReport, list_runs, read_run, use_run
from scopebook.runs import collect_once
from scopebook_api.deps import Cursor, DbSession, Editor, Limit
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import CollectRequest, JobRead, RunRead, UseRequest
from scopebook_api.schemas import Page

router = APIRouter(prefix="/runs", tags=["runs"], route_class=KeyedRoute)


@router.get("", response_model=Page[RunRead])
def browse(
    session: DbSession,
    release: str | None = None,
    job: Annotated[int | None, Query(ge=0, lt=2**31, description="Only runs of this job.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List runs, newest first."""
    runs, following = list_runs(session, release=release, job=job, limit=limit, cursor=cursor)
    return {"items": runs, "next": following}


@router.post("", response_model=JobRead, status_code=202)
def collect(session: DbSession, _: Editor, wanted: CollectRequest) -> JobReport:
    """Collect the evidence of a release's features over a corpus, as a job.

    Of a corpus that has grown only the new part is read. If nothing is new, the answer is the job
    that collected the same before, which may be over.
    """
    job_id, _is_new = collect_once(
        session,
        wanted.release,
        wanted.corpus,
        wanted.layers,
        max_tokens=wanted.max_tokens,
        label=wanted.label,
        anew=wanted.anew,
    )
    return read_job(session, job_id)


@router.get("/{run_id}", response_model=RunRead)
def read(session: DbSession, run_id: int) -> RunReport:
    """Return one run."""
    return read_run(session, run_id)


@router.post("/{run_id}/use", response_model=RunRead)
def use(session: DbSession, _: Editor, run_id: int, wanted: UseRequest | None = None) -> RunReport:
    """Let the dictionary show this run's evidence."""
    return use_run(session, run_id, wanted.layers if wanted else None)
