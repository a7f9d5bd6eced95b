"""What health routes answer."""

from typing import Literal

from scopebook_api.schemas import Problem, Schema


class ReadyCheck(Schema):
    """One thing that this process needs, as it was found."""

    name: str
    ok: bool
    says: str
    #: How long it took to find out.
    ms: int


class Readiness(Schema):
    """All is there that requests need."""

    status: Literal["ready"]
    checks: list[ReadyCheck]


class NotReadyProblem(Problem):
    """A problem (RFC 9457) with what was found missing."""

    checks: list[ReadyCheck]
