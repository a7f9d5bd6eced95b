"""Routes in Neuronpedia's shapes: what is refused there is `{"message"}`, and nothing else."""

from http import HTTPStatus
from typing import Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from scopebook.settings import settings
from scopebook_api.idempotency import KeyedRoute

#: It answers so what is malformed.
_STATUSES: Final = {HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST}


class NeuronpediaRoute(APIRoute):
    """A route that reads."""


class KeyedNeuronpediaRoute(NeuronpediaRoute, KeyedRoute):
    """A route that makes or changes something."""


def refused_as_there(request: Request, status: HTTPStatus, detail: str) -> Response | None:
    """Return a refusal in its shape, or None where another route was asked."""
    if not isinstance(request.scope.get("route"), NeuronpediaRoute):
        return None
    return JSONResponse({"message": detail}, _STATUSES.get(status, status))


def page_url(request: Request, path: str) -> str:
    """Return the address of one of the app's pages."""
    base = settings().public_url or str(request.base_url)
    return f"{base.rstrip('/')}/{path}"
