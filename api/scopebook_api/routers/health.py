"""Whether this instance works, and what it holds."""

from importlib.metadata import version

from fastapi import APIRouter
from sqlalchemy import text

from scopebook.demo import DEMO_JOB
from scopebook.inventory import take_inventory
from scopebook.job_reports import newest_job
from scopebook_api.deps import DbSession, Embed
from scopebook_api.job_schemas import JobRead, Status

router = APIRouter(tags=["health"])
public = APIRouter(tags=["health"])


@public.get("/health")
def health(session: DbSession) -> dict[str, str]:
    """Answer once the database does."""
    session.execute(text("SELECT 1"))
    return {"status": "ok"}


@router.get("/status", response_model=Status)
def status(session: DbSession, embed: Embed) -> Status:
    """Say what this instance holds and does."""
    inventory = take_inventory(session)
    demo = newest_job(session, DEMO_JOB)
    return Status(
        version=version("scopebook"),
        ready=inventory.labelled > 0,
        releases=inventory.releases,
        corpora=inventory.corpora,
        features=inventory.features,
        labelled=inventory.labelled,
        jobs_running=inventory.jobs_running,
        demo=JobRead.model_validate(demo) if demo else None,
        semantic=inventory.embedded > 0,
    )
