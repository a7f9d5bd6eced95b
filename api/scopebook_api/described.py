"""What the schema says beyond the routes' own words: who may ask, and how refusals look."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.security import HTTPBearer

from scopebook_api.authentication import SAFE_METHODS
from scopebook_api.neuronpedia_route import SHARED

#: Marks the routes that are for who is known; `acting` reads the token itself.
FOR_WHO_IS_KNOWN: Final = HTTPBearer(auto_error=False, scheme_name="token")
_SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token, of the page of an account or `scopebook token create NAME`. "
        "An instance without accounts asks for nothing on its own machine.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same token, as scripts written for Neuronpedia send it.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "scopebook_8000",
        "description": "A browser's login, set by `POST /api/session`; its name ends in the port "
        "that the browser asks, or is `scopebook` alone where that is the scheme's own.",
    },
    "ownHeader": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Scopebook",
        "description": "Any value, such as `1`, beside the cookie of a login wherever something is "
        "changed: no other site's page can send it. Tokens do without.",
    },
}
#: Media type and body of refusals (RFC 9457), and of those in Neuronpedia's shape.
_PROBLEM: Final = (
    "application/problem+json",
    {"schema": {"$ref": "#/components/schemas/Problem"}},
)
_THERE: Final = (
    "application/json",
    {"schema": {"$ref": "#/components/schemas/NeuronpediaRefusal"}},
)
_HEADERS: Final = {
    "401": ("WWW-Authenticate", "string", "How to show who one is."),
    "429": ("Retry-After", "integer", "Seconds after which the same request works."),
}


class Described(FastAPI):
    """An app whose schema names its security schemes and its problem details."""

    def openapi(self) -> dict[str, Any]:
        """Return the schema, made once."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def _complete(schema: dict[str, Any]) -> None:
    schema["components"]["securitySchemes"] = _SCHEMES
    for unused in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(unused, None)
    for operations in schema["paths"].values():
        for method, operation in operations.items():
            if "security" in operation:
                operation["security"] = _ways_in(method.upper())
            _name_refusals(operation)


def _ways_in(method: str) -> list[dict[str, list[str]]]:
    login: dict[str, list[str]] = {"session": []}
    if method not in SAFE_METHODS:
        login["ownHeader"] = []
    return [{"token": []}, {"apiKey": []}, login]


def _name_refusals(operation: dict[str, Any]) -> None:
    """Say how every refusal looks, and which ones any route may give."""
    responses = operation["responses"]
    shared = operation.pop(SHARED, False)
    media, body = _PROBLEM
    if any(_THERE[1] in response.get("content", {}).values() for response in responses.values()):
        media, body = _THERE
        # What is malformed is a 400 there.
        responses.pop("422", None)
    responses.setdefault("503", {"description": "The database does not answer."})
    if "requestBody" in operation:
        responses.setdefault("400", {"description": "The body cannot be read."})
    for status, response in responses.items():
        if status < "400":
            continue
        (known,) = response.get("content", {"": body}).values()
        response["content"] = {media: body if status == "422" else known}
        if shared and status != "422":
            response["content"].update([_THERE])
        if status in _HEADERS:
            name, kind, meaning = _HEADERS[status]
            response["headers"] = {name: {"schema": {"type": kind}, "description": meaning}}
    operation["responses"] = dict(sorted(responses.items()))
