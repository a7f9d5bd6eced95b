"""Long work: list, watch, cancel, retry."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from scopebook.accounts import Actor
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.job_reports import OVER, JobReport, changing_jobs, list_jobs, list_steps, read_job
from scopebook.steps import cancel_job, retry_job
from scopebook.visibility import hidden_from, leave_out
from scopebook_api.deps import AskAgain, Cursor, DbSession, Editor, Limit, Me
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import JobRead, JobState, StepRead
from scopebook_api.schemas import Page

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=KeyedRoute)

#: Seconds between two looks at the database for one stream.
WATCH_INTERVAL_S = 0.5
#: Looks without news after which a comment keeps proxies from closing the stream.
QUIET_LOOKS = 20
#: Looks after which it is asked again who watches: an account may be shut out meanwhile.
KNOWN_LOOKS = 20


@router.get("", response_model=Page[JobRead])
def browse(
    session: DbSession,
    state: Annotated[JobState | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List jobs, newest first, without their steps."""
    jobs, following = list_jobs(session, state=state, limit=limit, cursor=cursor)
    return {"items": jobs, "next": following}


@router.get("/events", response_class=StreamingResponse)
async def watch_all(request: Request, me: Me, again: AskAgain) -> StreamingResponse:
    """Stream every job that changes, as server-sent events; never ends."""
    return _stream(_changes(request.app.state.sessions, None, me, again))


@router.get("/{job_id}", response_model=JobRead)
def read(session: DbSession, job_id: int) -> JobReport:
    """Return one job with its workers, its shards' states, and its steps."""
    return read_job(session, job_id)


@router.get("/{job_id}/steps", response_model=Page[StepRead])
def browse_steps(
    session: DbSession,
    job_id: int,
    state: Annotated[JobState | None, Query()] = None,
    stage: Annotated[int | None, Query(ge=0, le=32767)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, object]:
    """List a job's steps, stage by stage."""
    steps, following = list_steps(
        session, job_id, state=state, stage=stage, limit=limit, cursor=cursor
    )
    return {"items": steps, "next": following}


@router.get("/{job_id}/events", response_class=StreamingResponse)
async def watch(request: Request, me: Me, again: AskAgain, job_id: int) -> StreamingResponse:
    """Stream one job as it changes; ends with the job."""
    sessions: Sessions = request.app.state.sessions
    await run_in_threadpool(
        _read, sessions, job_id, set(), me
    )  # an unknown job is a 404, not a stream
    return _stream(_changes(sessions, job_id, me, again))


@router.post("/{job_id}/cancel", response_model=JobRead)
def cancel(session: DbSession, _: Editor, job_id: int) -> JobReport:
    """Cancel what is queued and stop what runs."""
    cancel_job(session, job_id)
    return read_job(session, job_id)


@router.post("/{job_id}/retry", response_model=JobRead)
def retry(session: DbSession, _: Editor, job_id: int) -> JobReport:
    """Do a job's failed and cancelled steps again."""
    retry_job(session, job_id)
    return read_job(session, job_id)


def _stream(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(
        events,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _read(sessions: Sessions, job_id: int | None, over: set[int], me: Actor) -> list[JobRead]:
    """Return the job with the steps that need a look, or the newest jobs that may have changed."""
    with unit_of_work(sessions) as session:
        leave_out(session, hidden_from(session, me))
        reports = (
            changing_jobs(session, over)
            if job_id is None
            else [read_job(session, job_id, others=0)]
        )
        return [JobRead.model_validate(report) for report in reports]


def is_settled(job: JobRead) -> bool:
    """Tell whether a job is over, and the workers of a failed one have stopped too."""
    return job.state in OVER and not any(worker.alive for worker in job.workers)


async def _changes(
    sessions: Sessions, job_id: int | None, me: Actor | None, again: AskAgain
) -> AsyncIterator[str]:
    """Yield each job as it is now, then whenever it has changed, to who may see it."""
    sent: dict[int, str] = {}
    settled: set[int] = set()
    quiet = looks = 0
    while me is not None:
        for job in await run_in_threadpool(_read, sessions, job_id, settled, me):
            (settled.add if is_settled(job) else settled.discard)(job.id)
            data = job.model_dump_json()
            if sent.get(job.id) != data:
                sent[job.id] = data
                quiet = 0
                yield f"event: job\ndata: {data}\n\n"
        if job_id in settled:
            return
        quiet += 1
        if quiet % QUIET_LOOKS == 0:
            yield ": still here\n\n"
        await asyncio.sleep(WATCH_INTERVAL_S)
        looks += 1
        if looks % KNOWN_LOOKS == 0:
            me = await run_in_threadpool(again)
