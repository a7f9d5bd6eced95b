"""Turn every way in which the hub can fail into one sentence that says what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from scopebook.errors import HubError, InvalidInputError, NotFoundError, ScopebookError
from scopebook.release_names import shown

ELSEWHERE = "set HF_ENDPOINT to a mirror that can be reached, or give the path of a local folder"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def hub_refusals(repo_id: str, endpoint: str | None, file: str | None = None) -> Iterator[None]:
    """Raise a ScopebookError in place of what huggingface_hub raises about a repository."""
    try:
        yield
    except ScopebookError:
        raise
    except HFValidationError as error:
        raise InvalidInputError(
            f"{shown(repo_id)} is not a repository id: expected owner/name or the path of a folder."
        ) from error
    except LocalEntryNotFoundError as error:
        # What huggingface_hub says when the hub's answer was no file; the answer is its cause.
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _answered(error.__cause__, repo_id, endpoint_shown(endpoint), file) from error
        raise _not_answered(
            error.__cause__ or error, repo_id, endpoint_shown(endpoint), file
        ) from error
    except HfHubHTTPError as error:
        raise _answered(error, repo_id, endpoint_shown(endpoint), file) from error
    except (httpx2.HTTPError, OSError, RuntimeError) as error:
        raise _not_answered(error, repo_id, endpoint_shown(endpoint), file) from error
    except (ValueError, KeyError, TypeError) as error:
        raise HubError(
            f"{endpoint_shown(endpoint)} did not answer as a Hugging Face hub about {repo_id}: "
            f"{ELSEWHERE}."
        ) from error


def endpoint_shown(endpoint: str | None) -> str:
    """Return the hub's address without a password that may be part of it."""
    parts = urlsplit(endpoint or constants.ENDPOINT)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _answered(
    error: HfHubHTTPError, repo_id: str, endpoint: str, file: str | None
) -> ScopebookError:
    status = error.response.status_code
    wanted = f"{file} of {repo_id}" if file else repo_id
    match error:
        case GatedRepoError():
            return HubError(
                f"{repo_id} is gated: accept its terms at {endpoint}/{repo_id} and set HF_TOKEN to "
                "a token of that account."
            )
        case RemoteEntryNotFoundError():
            return _no_file(repo_id, endpoint, file)
        case RevisionNotFoundError():
            return NotFoundError(
                f"{repo_id} has no such revision at {endpoint}: give a branch, a tag or a commit."
            )
        case RepositoryNotFoundError():
            return NotFoundError(
                f"{repo_id} does not exist at {endpoint} or is private: check the name, or set "
                "HF_TOKEN to a token that may read it."
            )
    if status == 404:
        return _no_file(repo_id, endpoint, file)
    if status in (401, 403):
        return HubError(
            f"{endpoint} does not let you read {repo_id} ({status}): set HF_TOKEN to a valid "
            "token that may."
        )
    if status == 429:
        return HubError(f"{endpoint} asks to slow down (429): wait some minutes, or set HF_TOKEN.")
    return HubError(f"{endpoint} answered {status} for {wanted}: try later, or {ELSEWHERE}.")


def _no_file(repo_id: str, endpoint: str, file: str | None) -> NotFoundError:
    return NotFoundError(
        f"{endpoint} has no {file or 'such page'} of {repo_id}: check the name, or {ELSEWHERE}."
    )


def _not_answered(
    error: BaseException, repo_id: str, endpoint: str, file: str | None
) -> ScopebookError:
    wanted = f"{file} of {repo_id}" if file else repo_id
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        return HubError(
            f"{wanted} is not in the local cache and the hub is switched off: unset "
            "HF_HUB_OFFLINE, or give the path of a local folder."
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return HubError(
            f"the disk is full while {wanted} is downloaded: free space or point HF_HUB_CACHE at "
            "a larger disk; finished files are kept."
        )
    if isinstance(error, httpx2.ConnectError | httpx2.UnsupportedProtocol | httpx2.ConnectTimeout):
        return HubError(f"{endpoint} cannot be reached for {wanted}: {ELSEWHERE}.")
    if isinstance(error, httpx2.HTTPError):
        return HubError(
            f"the connection to {endpoint} broke off while {wanted} was read: run the same command "
            "again, finished files are kept."
        )
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
    return HubError(f"{wanted} could not be downloaded ({reason}): try again, or {ELSEWHERE}.")
