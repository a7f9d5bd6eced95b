"""What a reply other than 200 means: the end for all requests, or for this one."""

from typing import Any, Final
from urllib.parse import urlsplit

from scopebook.errors import InvalidInputError, ScopebookError, UnavailableError
from scopebook_workers.llm.chat import ChatFailedError, ErrorClass
from scopebook_workers.llm.protocol import parse_or_none
from scopebook_workers.llm.transport import Reply

#: Words in the codes that hosts give: nothing is left on the account.
_NO_MONEY: Final = ("insufficient_quota", "billing", "insufficient_balance", "credit_balance")
_TOO_LONG: Final = ("context_length", "context length", "too long", "maximum context", "too large")
_FILTERED: Final = ("content_filter", "content management policy", "responsible_ai")


def stop_of(reply: Reply, endpoint: str, model: str) -> ScopebookError | None:
    """Return the error that ends all asking, or None when only this request is concerned.

    Nothing that the server says about a key is repeated: hosts like to quote it.
    """
    status = reply.status
    said = f"{endpoint} answered {status}"
    if status in (401, 403):
        return InvalidInputError(
            f"{said}: it does not accept the API key or its rights for the model {model!r}; "
            "set SCOPEBOOK_LLM_API_KEY (SCOPEBOOK_JUDGE_API_KEY for a judge) to a valid key."
        )
    if status in (404, 405, 410):
        return InvalidInputError(
            f"{said}: there is no chat model {model!r}, or no /chat/completions below this "
            "address; give the name the server lists under /models, and its base URL."
        )
    if status == 402 or (status == 429 and any(word in _code(reply) for word in _NO_MONEY)):
        return UnavailableError(
            f"{said}: the account has nothing left to pay with; fill it up with the host, then "
            "start again, which goes on where this ended."
        )
    if 300 <= status < 400:
        target = _host(reply.headers.get("location", ""))
        return InvalidInputError(
            f"{said}: it redirects to {target}, which is not followed so that no key leaves for "
            "another host; give the address it redirects to, if you trust it."
        )
    return None


def failure_of(reply: Reply) -> ChatFailedError:
    """Return the error of this request."""
    message = f"the server answered {reply.status}" + (
        f": {reply.text[:300]}" if reply.text else ""
    )
    return ChatFailedError(_class_of(reply), message, raw=reply.text)


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or "another path"
    except ValueError:
        return "an address that cannot be read"


def _class_of(reply: Reply) -> ErrorClass:
    if reply.status == 429:
        return "rate"
    if reply.status == 408:
        return "timeout"
    if reply.status >= 500:
        return "server"
    said = reply.text.lower()
    if any(word in said for word in _FILTERED):
        return "refused"
    if reply.status == 413 or any(word in said for word in _TOO_LONG):
        return "length"
    return "protocol"


def _code(reply: Reply) -> str:
    content: Any = parse_or_none(reply.body)
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, dict):
        return ""
    return f"{error.get('code')} {error.get('type')}".lower()
