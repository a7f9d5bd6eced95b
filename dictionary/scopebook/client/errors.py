"""What goes wrong between a client and an instance."""

from typing import Any

from scopebook.client.types.preset import PresetRead
from scopebook.client.types.review import AnnotationRead
from scopebook.errors import ScopebookError, UnavailableError


class UnreachableError(UnavailableError):
    """The instance did not answer; a read was tried several times, a write once."""


class ProblemError(ScopebookError):
    """The instance refused, with problem details (RFC 9457); the message is their sentence."""

    def __init__(self, problem: dict[str, Any], *, retry_after_s: int | None = None) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or "It was refused."))
        #: All that the instance said.
        self.problem = problem
        #: The HTTP status, such as 404.
        self.status = int(problem["status"])
        #: Seconds after which the same call works; None: the instance did not say.
        self.retry_after_s = retry_after_s


class ChangedSinceError(ProblemError):
    """Somebody has changed the feature or preset since it was read: nothing was written (412)."""

    @property
    def current(self) -> AnnotationRead:
        """What people have said of the feature by now; its `version` is the one to write for."""
        current: AnnotationRead = self.problem["current"]
        return current

    @property
    def current_preset(self) -> PresetRead:
        """The preset by now; its `revision` is the one to write for."""
        preset: PresetRead = self.problem["current"]
        return preset


class JobEndedError(ScopebookError):
    """A job that was waited for failed or was cancelled."""
