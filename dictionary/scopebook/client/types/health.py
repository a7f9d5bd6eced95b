"""What the API answers of healths; written by `make openapi`."""

from __future__ import annotations

from typing import Literal, TypedDict


class NotReadyProblem(TypedDict):
    """A problem (RFC 9457) with what was found missing."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    checks: list[ReadyCheck]


class Readiness(TypedDict):
    """All is there that requests need."""

    status: Literal["ready"]
    checks: list[ReadyCheck]


class ReadyCheck(TypedDict):
    """One thing that this process needs, as it was found."""

    name: str
    ok: bool
    says: str
    ms: int
