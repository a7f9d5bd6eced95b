"""Around every request: its id, its fields in the log, its line there, its place in the metrics.

Plain ASGI, so that it neither buffers a stream nor moves it to another task.
"""

import logging
import re
import time
import uuid
from typing import Final

from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scopebook.log_fields import logged_with
from scopebook_api.deps import PREFIX
from scopebook_api.metrics import IN_PROGRESS, OPEN_STREAMS, REQUESTS, SECONDS

log = logging.getLogger(__name__)

HEADER: Final = "X-Request-ID"
#: What is taken from others as it is: it stands in logs and answers.
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: Asked every few seconds by programs, and by each page of its own files.
_QUIET: Final = frozenset({f"{PREFIX}/health", f"{PREFIX}/health/ready", "/metrics", "files"})
#: Who leaves before there is an answer; nginx's number, which is known in logs.
_LEFT: Final = 499


def request_id(request: Request) -> str | None:
    """Return the id of a request, as its answer and its lines in the log name it."""
    found: str | None = getattr(request.state, "request_id", None)
    return found


class Observed:
    """The app, and what is known of each request to it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(HEADER, "")
        known_as = asked if _SANE.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = known_as
        with logged_with(request_id=known_as), IN_PROGRESS.track_inprogress():
            await _Request(scope, known_as).serve(self.app, receive, send)


class _Request:
    def __init__(self, scope: Scope, known_as: str) -> None:
        self._scope = scope
        self._known_as = known_as
        self._status = _LEFT
        self._streams = False

    async def serve(self, app: ASGIApp, receive: Receive, send: Send) -> None:
        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin(message)
            await send(message)

        began = time.perf_counter()
        try:
            await app(self._scope, receive, send_and_note)
        except Exception:
            # Answered further out, by the handler of what nobody foresaw.
            self._status = 500
            raise
        finally:
            self._end(time.perf_counter() - began)

    def _begin(self, message: Message) -> None:
        self._status = message["status"]
        headers = MutableHeaders(scope=message)
        headers[HEADER] = self._known_as
        if headers.get("content-type", "").startswith("text/event-stream"):
            self._streams = True
            OPEN_STREAMS.inc()

    def _end(self, seconds: float) -> None:
        self._scope["app"].state.metrics.note_pool()
        method = self._scope["method"]
        method = method if method in _METHODS else "other"
        route = route_of(self._scope)
        REQUESTS.labels(route, method, str(self._status)).inc()
        if self._streams:
            # Open as long as somebody looks on, which says nothing of how fast it was.
            OPEN_STREAMS.dec()
        else:
            SECONDS.labels(route, method).observe(seconds)
        level = logging.DEBUG if route in _QUIET and self._status < 400 else logging.INFO
        ms = round(seconds * 1000, 1)
        fields = {"method": method, "route": route, "status": self._status, "ms": ms}
        log.log(level, "%s %s %s %s ms", method, route, self._status, ms, extra=fields)


def route_of(scope: Scope) -> str:
    """Return the template of the route that answered, which names neither rows nor text."""
    route = scope.get("route")
    if isinstance(route, APIRoute):
        # The routes of nouns do not know under what they were put.
        return route.path if route.path == "/metrics" else f"{PREFIX}{route.path}"
    return "unknown" if scope["path"].startswith(PREFIX) else "files"
