"""Bodies of requests up to a size: a larger one is refused before it is in memory."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scopebook.settings import settings


class SmallBodies:
    """Stops reading where a body is larger than the settings allow, whatever its headers say."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does; its reading of too large a body ends in 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = settings().request_mb << 20
        told = Headers(scope=scope).get("content-length", "")
        announced = int(told) if told.isascii() and told.isdigit() else 0
        size = 0

        async def counted() -> Message:
            nonlocal size
            if announced > most:
                raise _too_large()
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise _too_large()
            return message

        await self._app(scope, counted, send)


def _too_large() -> HTTPException:
    return HTTPException(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The request is larger than {settings().request_mb} MB; send less at a time, or have "
        "SCOPEBOOK_REQUEST_MB raised",
    )
