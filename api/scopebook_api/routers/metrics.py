"""`GET /metrics`: what Prometheus scrapes, for whom the settings let see it."""

import secrets

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.concurrency import run_in_threadpool

from scopebook.embedded.programs import is_loopback
from scopebook.errors import ForbiddenError, UnauthenticatedError
from scopebook.settings import settings
from scopebook_api.authentication import FORWARDING, address_of
from scopebook_api.metrics import Metrics

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Return all metrics in Prometheus' text format."""
    require_scraper(request)
    scrape: Metrics = request.app.state.metrics
    text = await run_in_threadpool(scrape.text)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def require_scraper(request: Request) -> None:
    """Refuse who may not see how the instance is doing.

    Where a token is set, nobody comes in without it: a proxy on the API's machine makes all who
    come through it look as if they sat there.
    """
    wanted = settings().metrics_token
    if wanted is not None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(given.strip().encode(), wanted.get_secret_value().encode())
        if kind.lower() != "bearer" or not right:
            raise UnauthenticatedError(
                "Metrics are for who shows this instance's SCOPEBOOK_METRICS_TOKEN; send it as "
                "`Authorization: Bearer ...`."
            )
    elif (
        settings().public_url is not None
        or not is_loopback(address_of(request) or "")
        or any(name in request.headers for name in FORWARDING)
    ):
        raise ForbiddenError(
            "Metrics are for who sits at the machine of the API; set SCOPEBOOK_METRICS_TOKEN there "
            "and send it as `Authorization: Bearer ...`."
        )
