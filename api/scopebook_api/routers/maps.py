"""Maps: the newest of a release, its points, and ask for another."""

from fastapi import APIRouter
from fastapi.responses import Response

from scopebook.job_reports import JobReport, read_job
from scopebook.maps import MapState, read_map_state, read_points, request_map
from scopebook_api.deps import DbSession, Editor
from scopebook_api.idempotency import KeyedRoute
from scopebook_api.job_schemas import JobRead
from scopebook_api.map_schemas import MapRequest, MapStateRead

router = APIRouter(prefix="/maps", tags=["maps"], route_class=KeyedRoute)

_POINTS = "application/octet-stream"


@router.get("/latest", response_model=MapStateRead)
def latest(session: DbSession, release: str) -> MapState:
    """Return the newest map of a release with its regions, and the job that draws another."""
    return read_map_state(session, release)


@router.get(
    "/{map_id}/points",
    response_class=Response,
    responses={200: {"content": {_POINTS: {"schema": {"type": "string", "format": "binary"}}}}},
)
def points(session: DbSession, map_id: int) -> Response:
    """Return a map's points: columns of little-endian numbers, one after the other.

    x and y as float32, the feature's index as uint32, then as uint8 each: position of its layer,
    of its label's source, bits of its flags, position of its region. Sixteen bytes a point.
    """
    return Response(read_points(session, map_id), media_type=_POINTS)


@router.post("", response_model=JobRead, status_code=202)
def draw(session: DbSession, _: Editor, wanted: MapRequest) -> JobReport:
    """Draw the map of a release from its labels in force, as a job."""
    return read_job(session, request_map(session, wanted.release, wanted.layers))
