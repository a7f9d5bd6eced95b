"""Whether this instance works, and what it holds."""

from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from scopebook.demo import DEMO_JOB
from scopebook.inventory import take_inventory
from scopebook.job_reports import newest_job
from scopebook_api.deps import DbSession, Embed
from scopebook_api.health_schemas import NotReadyProblem, Readiness
from scopebook_api.job_schemas import JobRead, Status
from scopebook_api.label_counts import LabelCounts
from scopebook_api.observing import request_id
from scopebook_api.readiness import Ready

router = APIRouter(tags=["health"])
public = APIRouter(tags=["health"])


@public.get("/health")
async def health() -> dict[str, str]:
    """Answer as long as this process does; `/api/health/ready` looks at what it needs."""
    return {"status": "ok"}


@public.get("/health/ready", response_model=Readiness, responses={503: {"model": NotReadyProblem}})
async def ready(request: Request) -> Readiness | Response:
    """Say whether requests can be served: by database, broker and artifacts."""
    looks: Ready = request.app.state.ready
    checks = await looks.look()
    missing = [check for check in checks if not check.ok]
    if not missing:
        return Readiness(status="ready", checks=checks)
    status = HTTPStatus.SERVICE_UNAVAILABLE
    problem = NotReadyProblem(
        title=status.phrase,
        status=status.value,
        detail="; ".join(f"{check.name}: {check.says}" for check in missing) + ".",
        request_id=request_id(request),
        checks=checks,
    )
    return JSONResponse(problem.model_dump(), status, media_type="application/problem+json")


@router.get("/status", response_model=Status)
def status(request: Request, session: DbSession, embed: Embed) -> Status:
    """Say what this instance holds and does."""
    # Every page asks, and a large dictionary's labels take a while to count.
    counted: LabelCounts = request.app.state.label_counts
    inventory = take_inventory(session, labelled=counted.labelled)
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
