"""The address of a server, and the key for it: read, checked, and never shown whole."""

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from scopebook.errors import InvalidInputError

_VERSION: Final = re.compile(r"^v\d+[a-z0-9]*$")
_TAIL: Final = "/chat/completions"


def is_address(endpoint: str) -> bool:
    """Return whether this names a server, not a folder."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://", endpoint) is not None


def read_address(endpoint: str) -> str:
    """Return the base URL, without a slash at its end.

    Raises InvalidInputError for anything but `http(s)://host/../v1`, and for one with a password
    or query in it, which would end up in logs.
    """
    try:
        parts = urlsplit(endpoint.strip())
        port_is_read = parts.port
    except ValueError as error:
        raise _no_address("the address of the language model", "cannot be read") from error
    shown = shown_address(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or port_is_read == 0:
        raise _no_address(shown, "is no http:// or https:// address")
    if "@" in parts.netloc:
        raise _no_address(shown, "holds a user or password, which belongs in the API key's setting")
    if parts.query or parts.fragment:
        raise _no_address(shown, "has something after ? or #")
    path = parts.path.rstrip("/").removesuffix(_TAIL)
    if not any(_VERSION.match(part) for part in path.split("/")):
        raise _no_address(shown, "has no /v1 in its path")
    return f"{parts.scheme}://{parts.netloc}{path}"


def shown_address(url: str) -> str:
    """Return an address as messages may show it: no user, password or query."""
    parts = urlsplit(url.strip())
    return f"{parts.scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path.rstrip('/')}"


def read_key(api_key: SecretStr | None, address: str) -> str | None:
    """Return the key as it is sent, or None for none; it must fit in a header."""
    key = api_key.get_secret_value().strip() if api_key else ""
    if not key:
        return None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInputError(
            f"The API key for {address} holds blanks, line breaks or characters beyond ASCII; "
            "give the key alone, as the host shows it."
        )
    return key


def _no_address(shown: str, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{shown} {what}; give the base URL of an OpenAI-compatible server, "
        "e.g. http://localhost:8080/v1."
    )
