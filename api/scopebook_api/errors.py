"""The table from the dictionary's errors to HTTP problems (RFC 9457)."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from scopebook.annotations import annotation_of
from scopebook.db.sessions import unit_of_work
from scopebook.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ScopebookError,
    StaleError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from scopebook.log_fields import logged_with
from scopebook.presets import StalePresetError
from scopebook_api.idempotency import AnsweredBefore, answer_again
from scopebook_api.neuronpedia_route import refused_as_there
from scopebook_api.observing import HEADER, request_id
from scopebook_api.preset_schemas import PresetRead, StalePresetProblem
from scopebook_api.review_schemas import AnnotationRead, StaleProblem
from scopebook_api.schemas import Problem

log = logging.getLogger(__name__)

STATUS_OF: dict[type[ScopebookError], HTTPStatus] = {
    InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    TooManyRequestsError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def problem(request: Request, status: HTTPStatus | int, detail: str) -> Response:
    """Return an answer with the problem's status, in the media type and shape that was asked."""
    status = HTTPStatus(status)
    answer = refused_as_there(request, status, detail)
    if answer is not None:
        return answer
    body = Problem(
        title=status.phrase, status=status.value, detail=detail, request_id=request_id(request)
    )
    return JSONResponse(body.model_dump(), status, media_type="application/problem+json")


def add_error_answers(app: FastAPI) -> None:
    """Make every refusal of the dictionary and of the framework a problem with one sentence."""
    app.add_exception_handler(ScopebookError, _refused)
    app.add_exception_handler(StaleError, _stale)
    app.add_exception_handler(StalePresetError, _stale_preset)
    app.add_exception_handler(AnsweredBefore, answer_again)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(OperationalError, _database_down)
    app.add_exception_handler(DataError, _not_storable)
    app.add_exception_handler(UnicodeEncodeError, _not_storable)
    app.add_exception_handler(InterfaceError, _database_down)
    app.add_exception_handler(PoolTimeoutError, _database_down)
    app.add_exception_handler(Exception, _unforeseen)


def _refused(request: Request, error: Exception) -> Response:
    answer = problem(request, status_of(error), str(error))
    answer.headers.update(_headers(error))
    return answer


def status_of(error: Exception) -> HTTPStatus:
    """Return the status of an error of the dictionary."""
    for kind in type(error).__mro__:
        if kind in STATUS_OF:
            return STATUS_OF[kind]
    log.error("No status is set for %s", type(error).__name__)
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _stale(request: Request, error: Exception) -> JSONResponse:
    """Answer with what is there now, so that a page can show both and let its reader merge."""
    assert isinstance(error, StaleError)
    status = HTTPStatus.PRECONDITION_FAILED
    with unit_of_work(request.app.state.sessions) as session:
        current = AnnotationRead.model_validate(annotation_of(session, error.feature_id))
    body = StaleProblem(
        title=status.phrase,
        status=status.value,
        detail=str(error),
        request_id=request_id(request),
        current=current,
    )
    return JSONResponse(
        body.model_dump(mode="json"),
        status,
        headers={"ETag": f'"{current.version}"'},
        media_type="application/problem+json",
    )


def _stale_preset(request: Request, error: Exception) -> JSONResponse:
    """Answer with the preset as it is now: its newest version stands beside the one refused."""
    assert isinstance(error, StalePresetError)
    status = HTTPStatus.PRECONDITION_FAILED
    current = PresetRead.model_validate(error.current)
    body = StalePresetProblem(
        title=status.phrase,
        status=status.value,
        detail=str(error),
        request_id=request_id(request),
        current=current,
    )
    return JSONResponse(
        body.model_dump(mode="json"),
        status,
        headers={"ETag": f'"{current.revision}"'},
        media_type="application/problem+json",
    )


def _headers(error: Exception) -> dict[str, str]:
    """Return what a client program reads of a refusal."""
    if isinstance(error, TooManyRequestsError):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": "Bearer"}
    return {}


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parts = [
        f"{'.'.join(str(step) for step in fault['loc'][1:]) or 'the body'}: {fault['msg']}"
        for fault in error.errors()
    ]
    return problem(
        request, HTTPStatus.UNPROCESSABLE_ENTITY, f"The request is not valid; {'; '.join(parts)}."
    )


def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(request, error.status_code, f"{error.detail}.")


def _database_down(request: Request, error: Exception) -> Response:
    log.warning("The database did not answer: %s", error)
    return problem(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database does not answer; it may be restarting, so try again in a moment.",
    )


def _not_storable(request: Request, _: Exception) -> Response:
    return problem(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The request holds a character (such as NUL) or a number that the dictionary cannot hold; "
        "take it out.",
    )


def _unforeseen(request: Request, error: Exception) -> Response:
    known_as = request_id(request)
    # This runs around all that observes requests.
    with logged_with(request_id=known_as):
        # Quoted, since an address may hold what would look like a line of its own.
        log.error("%s %r failed", request.method, request.url.path, exc_info=error)
    answer = problem(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Scopebook met an error it did not foresee; the API's log has the details.",
    )
    if known_as is not None:
        answer.headers[HEADER] = known_as
    return answer
