"""The errors Scopebook raises on purpose.

The message of each is one sentence for the person who gets it: it names the input, says what was
expected and what to do. They know nothing of HTTP or exit codes; the table in
`scopebook_api.errors` and `scopebook.cli` translate them.

    ScopebookError
    ├── InvalidInputError      the input is wrong and must be changed
    │   └── CheckpointError    a file is not the SAE or model it claims to be
    ├── NotFoundError          the thing named does not exist
    ├── ConflictError          the state forbids it (already there, already running)
    │   └── StaleError         somebody else has changed it since it was read
    ├── UnauthenticatedError   it is not known who asks
    ├── ForbiddenError         who asks may not do it
    ├── TooManyRequestsError   who asks has asked too often
    │   └── QuotaError         who asks has taken as much as one may
    └── UnavailableError       something outside is missing or down
        ├── HubError           the Hugging Face hub (or its mirror) did not give the file
        └── InstanceError      the embedded instance could not start or stay up
"""


class ScopebookError(Exception):
    """Anything Scopebook refuses or cannot do, with a sentence for the person."""


class InvalidInputError(ScopebookError):
    """The input is wrong; the same call fails again until it is changed."""


class CheckpointError(InvalidInputError):
    """A file is not the SAE or model it claims to be."""


class NotFoundError(ScopebookError):
    """The thing named does not exist."""


class ConflictError(ScopebookError):
    """The present state forbids the change."""


class StaleError(ConflictError):
    """Somebody else has changed the feature since it was read; nothing was written."""

    def __init__(self, message: str, feature_id: int) -> None:
        super().__init__(message)
        self.feature_id = feature_id


class UnauthenticatedError(ScopebookError):
    """It is not known who asks; logging in or a valid token helps."""


class ForbiddenError(ScopebookError):
    """Who asks is known and may not do this."""


class TooManyRequestsError(ScopebookError):
    """Who asks has asked too often; the same call works after a while."""

    def __init__(self, sentence: str, *, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class QuotaError(TooManyRequestsError):
    """Who asks has taken as much as one may; the sentence names the limit and what is taken."""


class UnavailableError(ScopebookError):
    """Something outside of Scopebook is missing or down; the same call may work later."""


class HubError(UnavailableError):
    """The Hugging Face hub, or its mirror, did not give what was asked for."""


class InstanceError(UnavailableError):
    """The embedded instance could not start or could not stay up."""
