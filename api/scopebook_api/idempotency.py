"""The header `Idempotency-Key`: a creating request that is sent again is done once.

`deps.at_least` begins it, since every route that changes something goes through it, and
`KeyedRoute` keeps the answer before the request's transaction ends.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from scopebook.accounts import Actor
from scopebook.errors import InvalidInputError
from scopebook.idempotency import LONGEST_KEY, Answer, begin_keyed

HEADER: Final = "Idempotency-Key"
#: Says of an answer that it is one from before.
REPLAYED: Final = "Idempotency-Replayed"
#: What else of an answer its reader goes by.
_KEPT_HEADERS: Final = ("content-type", "etag", "location")
_DOCUMENTED: Final = {
    "parameters": [
        {
            "name": HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
            "description": "Sent again with the same key within a day, the request is not done "
            "again and gets the same answer; with another body it is refused.",
        }
    ]
}


class AnsweredBefore(Exception):  # noqa: N818 - no error: it ends a request that is done already
    """Ends a request whose answer is known."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class KeyedRoute(APIRoute):
    """A route whose POST may be sent under a key; the answers of others are not kept."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        if "POST" in (more.get("methods") or ()):
            more["openapi_extra"] = _DOCUMENTED
        super().__init__(path, endpoint, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which keeps the answer while the transaction is still open."""
        answer = super().get_route_handler()

        async def answer_and_keep(request: Request) -> Response:
            response = await answer(request)
            keep = getattr(request.state, "keep_answer", None)
            if keep is not None and response.status_code < 300:
                await run_in_threadpool(keep, response)
            return response

        return answer_and_keep


def begin_request(request: Request, session: Session, actor: Actor, body: bytes) -> None:
    """Begin a request under a key, if it is one; end it with its answer where that is known."""
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return
    if not isinstance(request.scope["route"], KeyedRoute):
        raise refusal()
    name = f"{request.method} {request.url.path}"
    found = begin_keyed(session, actor, key, name=name, query=request.url.query, body=body)
    if isinstance(found, Answer):
        raise AnsweredBefore(found)

    def keep(response: Response) -> None:
        given = response.headers
        answer = Answer(
            status=response.status_code,
            headers={name: given[name] for name in _KEPT_HEADERS if name in given},
            body=bytes(response.body),
        )
        found.keep(session, answer)

    request.state.keep_answer = keep


def refusal() -> InvalidInputError:
    """Return what is said to who sends a key where no answer is kept."""
    return InvalidInputError(
        f"This answer holds a secret, which is kept nowhere, so it cannot be given again: leave "
        f"the header {HEADER} out, and look in the list whether it was done."
    )


def answer_again(_: Request, known: Exception) -> Response:
    """Return the answer of the first request, marked as such."""
    assert isinstance(known, AnsweredBefore)
    answer = known.answer
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})
