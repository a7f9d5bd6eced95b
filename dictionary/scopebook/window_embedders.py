"""Which embedder is asked for to sort windows into senses: its name, and whom a key is sent to."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from scopebook.errors import InvalidInputError
from scopebook.release_names import shown
from scopebook.settings import Settings

#: The embedder that needs no download.
TERMS: Final = "terms"
#: The model's own residual at the firing token.
RESIDUAL: Final = "residual"
#: Where a labeling's parameters hold what was asked for, if it is not `TERMS`.
ASKED: Final = "asked_embedder"
_HUB_ID: Final = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class AskedEmbedder:
    """An embedder by its name: `terms`, `residual`, a server's URL, a model's folder or hub id.

    `model` is the name that a server is asked for. A key never stands here, since what is asked
    for is kept.
    """

    name: str = TERMS
    model: str | None = None

    def __post_init__(self) -> None:
        if self.is_server:
            _check_address(self.name)
        elif self.model is not None:
            raise InvalidInputError(
                f"A model {shown(self.model)} is named for the embedder {shown(self.name)}, which "
                "is no server's address; name it with --embedder alone, or give --embedder URL."
            )
        elif not self.is_folder and _HUB_ID.fullmatch(self.name) is None:
            raise InvalidInputError(
                f"{shown(self.name)} is no embedder; expected {TERMS}, {RESIDUAL}, the base URL of "
                "an OpenAI-style server (http://localhost:8080/v1), or a sentence-transformers "
                "model: all-MiniLM-L6-v2, a hub id or the path of a folder."
            )

    @property
    def is_terms(self) -> bool:
        """Whether it is the one that needs no download."""
        return self.name == TERMS

    @property
    def is_residual(self) -> bool:
        """Whether it is what the SAE's own model makes of the firing token."""
        return self.name == RESIDUAL

    @property
    def is_server(self) -> bool:
        """Whether it is a server's address."""
        return "://" in self.name

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose weights may change under the same name."""
        return self.name.startswith(("/", "./", "../", "~"))

    @property
    def runs_here(self) -> bool:
        """Whether a worker runs a model for it."""
        return not self.is_terms and not self.is_server

    def parameters(self) -> dict[str, Any]:
        """Return what a labeling's parameters say of it; nothing for `terms`."""
        return {} if self.is_terms else {ASKED: asdict(self)}

    def __str__(self) -> str:
        """Return the name for people."""
        return f"{self.model} at {self.name}" if self.model else self.name


def asked_embedder(name: str, model: str | None = None) -> AskedEmbedder:
    """Return the embedder of this name; an address loses a slash or `/embeddings` at its end.

    Raises InvalidInputError for what cannot be one.
    """
    name = name.strip()
    return AskedEmbedder(name=base_url(name) if "://" in name else name, model=model)


def on_this_machine(name: str) -> str:
    """Return the whole path where the name is that of a folder here: workers stand elsewhere."""
    try:
        path = Path(name.strip()).expanduser()
        return str(path.resolve()) if "://" not in name and path.is_dir() else name
    except (OSError, RuntimeError):  # too long a name, no such user: no folder here
        return name


def base_url(address: str) -> str:
    """Return a server's address as it is compared and kept."""
    return address.strip().rstrip("/").removesuffix("/embeddings").rstrip("/")


def key_for(address: str, settings: Settings) -> SecretStr | None:
    """Return the key of the settings that is meant for this server; no other one ever sees it."""
    address = base_url(address)
    for url, key in (
        (settings.window_embedder_url, settings.window_embedder_api_key),
        (settings.embeddings_url, settings.embeddings_api_key),
    ):
        if url is not None and key is not None and base_url(url) == address:
            return key
    return None


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        readable = parts.port != 0 and parts.hostname is not None
    except ValueError:
        readable = False
    if not readable or parts.scheme not in ("http", "https"):
        raise InvalidInputError(
            "The embedder's address cannot be read; give the base URL of an OpenAI-style server, "
            "such as http://localhost:8080/v1."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInputError(
            "The embedder's address must hold no password and no query, since it is kept; give a "
            "key in SCOPEBOOK_WINDOW_EMBEDDER_API_KEY, and the address it is meant for in "
            "SCOPEBOOK_WINDOW_EMBEDDER_URL."
        )
