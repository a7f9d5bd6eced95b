"""What is made and measured of preset versions: exports, tests, smallest groups."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Path
from fastapi.responses import StreamingResponse

from scopebook import preset_exports
from scopebook.artifacts import open_artifact
from scopebook.job_reports import JobReport, read_job
from scopebook_api.deps import Annotator, DbSession, Me, Viewer
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import JobRead
from scopebook_api.preset_schemas import (
    ExportRead,
    ExportRequest,
    PruneRequest,
    ReportRead,
    TargetRead,
)
from scopebook_api.routers.presets import Number, PresetId
from scopebook_api.schemas import Page, problems

router = APIRouter(
    prefix="/presets/{preset_id}", tags=["presets"], route_class=KeyedRoute, responses=problems(404)
)
_ZIP = "application/zip"
_CHUNK = 1 << 20


@router.get("/versions/{number}/targets", response_model=Page[TargetRead])
def targets(session: DbSession, me: Me, preset_id: PresetId, number: Number) -> dict[str, object]:
    """List the tools that presets are exported for, and what each would refuse and lose."""
    document = preset_exports.document_of(session, me, preset_id, number)
    return {"items": preset_exports.targets_of(document), "next": None}


@router.post(
    "/versions/{number}/exports", response_model=JobRead, status_code=202, responses=problems(409)
)
def export(
    session: DbSession, me: Viewer, preset_id: PresetId, number: Number, wanted: ExportRequest
) -> JobReport:
    """Write a version's files for some tools, as a job; a tool that cannot take it is refused."""
    job = preset_exports.request_exports(session, me, preset_id, number, wanted.targets)
    return read_job(session, job.id)


@router.get("/exports", response_model=Page[ExportRead])
def exports(session: DbSession, me: Me, preset_id: PresetId) -> dict[str, object]:
    """List what was exported of a preset, newest first."""
    return {"items": preset_exports.list_exports(session, me, preset_id), "next": None}


@router.get(
    "/exports/{export_id}/file",
    response_class=StreamingResponse,
    responses={200: {"content": {_ZIP: {}}}},
)
def file(
    session: DbSession,
    me: Me,
    preset_id: PresetId,
    export_id: Annotated[int, Path(ge=1, lt=2**31)],
) -> StreamingResponse:
    """Return an export as a zip file."""
    found, artifact = preset_exports.find_export(session, me, preset_id, export_id)
    name = f"preset-{preset_id}-v{found.version}-{found.target}.zip"
    return StreamingResponse(
        _chunks(open_artifact(artifact)),
        media_type=_ZIP,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(found.size_bytes),
        },
    )


def _chunks(opened: AbstractContextManager[BinaryIO]) -> Iterator[bytes]:
    with opened as file_:
        while chunk := file_.read(_CHUNK):
            yield chunk


@router.post(
    "/versions/{number}/tests", response_model=JobRead, status_code=202, responses=problems(409)
)
def run_tests(session: DbSession, me: Annotator, preset_id: PresetId, number: Number) -> JobReport:
    """Run the tests of a version, as a job."""
    return read_job(session, preset_exports.request_tests(session, me, preset_id, number).id)


@router.post(
    "/versions/{number}/prune", response_model=JobRead, status_code=202, responses=problems(409)
)
def prune(
    session: DbSession, me: Annotator, preset_id: PresetId, number: Number, wanted: PruneRequest
) -> JobReport:
    """Look for the smallest part of a group that still passes a test, as a job."""
    job = preset_exports.request_pruning(
        session, me, preset_id, number, test=wanted.test, group=wanted.group
    )
    return read_job(session, job.id)


@router.get("/reports", response_model=Page[ReportRead])
def reports(session: DbSession, me: Me, preset_id: PresetId) -> dict[str, object]:
    """List what was measured of a preset's versions, newest first."""
    found = [_report(one) for one in preset_exports.list_reports(session, me, preset_id)]
    return {"items": found, "next": None}


def _report(one: preset_exports.ReportView) -> dict[str, Any]:
    found = one.found
    return {
        "id": one.id,
        "version": one.version,
        "kind": one.kind,
        "job_id": one.job_id,
        "created_at": one.created_at,
        "tests": found["tests"] if found and one.kind == "test" else None,
        "pruning": found if found and one.kind == "prune" else None,
    }
