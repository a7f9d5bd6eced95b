"""Routes in Neuronpedia's shapes: what is refused there is `{"message"}`, and nothing else."""

import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from scopebook.settings import settings
from scopebook_api.idempotency import KeyedRoute

#: It answers so what is malformed.
_STATUSES: Final = {HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST}
#: Marks, in the schema while it is made, a route that is ours and theirs.
SHARED: Final = "x-shared"


class NeuronpediaRoute(APIRoute):
    """A route that reads."""


class KeyedNeuronpediaRoute(NeuronpediaRoute, KeyedRoute):
    """A route that makes or changes something."""


class SharedRoute(APIRoute):
    """A route of ours at a path of theirs: a body that names a `modelId` is one of theirs."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        if "POST" in (more.get("methods") or ()):
            more["openapi_extra"] = {SHARED: True}
        super().__init__(path, endpoint, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which looks first at who is to be answered, also by a refusal."""
        answer = super().get_route_handler()

        async def look_and_answer(request: Request) -> Response:
            request.state.is_theirs = is_theirs(_parsed(await request.body()))
            return await answer(request)

        return look_and_answer


def is_theirs(body: object) -> bool:
    """Tell whether a parsed body is one of Neuronpedia's."""
    return isinstance(body, dict) and "modelId" in body


def _parsed(body: bytes) -> object:
    # Most bodies are ours, and need not be parsed twice.
    if b'"modelId"' not in body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None  # which is refused when it is read


def refused_as_there(request: Request, status: HTTPStatus, detail: str) -> Response | None:
    """Return a refusal in its shape, or None where another route was asked."""
    route = request.scope.get("route")
    shared = isinstance(route, SharedRoute) and getattr(request.state, "is_theirs", False)
    if not shared and not isinstance(route, NeuronpediaRoute):
        return None
    return JSONResponse({"message": detail}, _STATUSES.get(status, status))


def page_url(request: Request, path: str) -> str:
    """Return the address of one of the app's pages."""
    base = settings().public_url or str(request.base_url)
    return f"{base.rstrip('/')}/{path}"
