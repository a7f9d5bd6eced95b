"""Ask for collections."""

from fastapi import APIRouter

from scopebook.job_reports import JobReport, read_job
from scopebook.runs import request_collection
from scopebook_api.deps import DbSession
from scopebook_api.schemas import CollectRequest, JobRead

router = APIRouter(prefix="/runs", tags=["runs"])


@router.post("", response_model=JobRead, status_code=202)
def collect(session: DbSession, wanted: CollectRequest) -> JobReport:
    """Collect the evidence of a release's features over a corpus, as a job."""
    job = request_collection(
        session,
        wanted.release,
        wanted.corpus,
        wanted.layers,
        max_tokens=wanted.max_tokens,
        label=wanted.label,
    )
    return read_job(session, job.id)
