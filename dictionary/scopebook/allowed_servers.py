"""Which servers somebody may have texts sent to: those of the settings, and for an admin any.

A worker asks them from inside the network, and sends them the corpus's texts. So an address that
an editor names over the API must be one that who runs the instance has named first: then no name
can be made to lead elsewhere, and no text goes to a stranger.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from scopebook.accounts import Actor
from scopebook.errors import ForbiddenError, InvalidInputError
from scopebook.settings import Settings, settings

_TAILS: Final = ("/chat/completions", "/embeddings")


@dataclass(frozen=True)
class NamedServer:
    """A server of language models that the settings name, and the model they name with it."""

    endpoint: str
    model: str | None


def named_language_models() -> list[NamedServer]:
    """Return the servers that an editor may have word labels, the one meant for it first.

    An address with a password in it is left out: it is for who runs the instance to know.
    """
    known = settings()
    named = (
        NamedServer(known.llm_endpoint or "", known.llm_model),
        *(NamedServer(url, None) for url in (known.servers or "").split()),
        NamedServer(known.judge_endpoint or "", known.judge_model),
    )
    shown = {_base(one.endpoint): one for one in reversed(named) if _is_plain(one.endpoint)}
    return list(reversed(shown.values()))


def check_server(actor: Actor, address: str) -> None:
    """Refuse an address that `actor` may not have asked; raises ForbiddenError."""
    if actor.may("admin") or _base(address) in _named(settings()):
        return
    parts = urlsplit(address)
    raise ForbiddenError(
        f"{parts.scheme}://{parts.hostname or ''} is none of the servers that this instance's "
        "settings name, and texts are sent there; ask an admin to do it, or to add the address to "
        "SCOPEBOOK_SERVERS."
    )


def _named(known: Settings) -> set[str]:
    urls = (
        *(known.llm_endpoint, known.judge_endpoint, known.embeddings_url),
        *(known.window_embedder_url, *(known.servers or "").split()),
    )
    return {_base(url) for url in urls if url and "://" in url}


def _is_plain(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and "@" not in parts.netloc and not parts.query


def _base(address: str) -> str:
    """Return an address as it is compared: one spelling of host and path, and nothing at its end.

    A user, a password or a query stay in it, so that such an address is never a named one.
    """
    try:
        parts = urlsplit(address.strip())
    except ValueError as error:  # such as a bracket that is not closed
        raise InvalidInputError(f"{address!r} is no address; give http(s)://HOST/v1.") from error
    path = parts.path.rstrip("/")
    for tail in _TAILS:
        path = path.removesuffix(tail)
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path.rstrip('/')}{query}"
