"""Count tokens as the model does, where its tokenizer can be asked."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from scopebook_workers.llm.addresses import is_address, read_address, read_key
from scopebook_workers.llm.tokens import Counter, estimate_tokens

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 10.0
_PROBE: Final = (
    "A feature of a language model fires on some of the tokens it reads. These sentences are here "
    "to be counted: 1,024 tokens, (a + b) * c, and words such as 'extraordinary' or 'of'."
)
#: No tokenizer of a language model makes so many times more or fewer of it than is guessed.
_AT_MOST: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class Counting:
    """A count of tokens, and whose it is."""

    count: Counter
    by: Literal["tokenizer", "server", "guess"]


GUESS: Final = Counting(count=estimate_tokens, by="guess")


def counting_of(endpoint: str, *, model: str, api_key: SecretStr | None = None) -> Counting:
    """Return the best count there is for the model at `endpoint`, a folder or an address.

    A server is asked where it offers `/tokenize` beside `/v1`, as vLLM, SGLang and llama.cpp do;
    that generates nothing. Raises CheckpointError for a folder without a tokenizer.
    """
    folder = Path(endpoint).expanduser()
    if is_address(endpoint):
        server = _ServerCount(endpoint, model, api_key)
        counted = server.asked(_PROBE)
        guessed = estimate_tokens(_PROBE)
        if counted is None or not guessed / _AT_MOST <= counted <= guessed * _AT_MOST:
            return GUESS
        return Counting(count=lru_cache(maxsize=256)(server), by="server")
    if not folder.is_dir():
        return GUESS
    # Here, since it takes seconds, and a server's tokens are counted without it.
    tokenizer = import_module("scopebook_workers.qwen.tokenizer").load_tokenizer(folder)

    @lru_cache(maxsize=256)
    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return Counting(count=count, by="tokenizer")


class _ServerCount:
    """Asks a server how many tokens a text has; guesses once it has given no answer."""

    def __init__(self, endpoint: str, model: str, api_key: SecretStr | None) -> None:
        address = read_address(endpoint)
        parts = urlsplit(address)
        beside = parts.path.rstrip("/").rsplit("/", 1)[0]
        self._url = f"{parts.scheme}://{parts.netloc}{beside}/tokenize"
        self._model = model
        key = read_key(api_key, address)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx2.Client(timeout=_PATIENCE_S, headers=headers)
        self._silent = False

    def __call__(self, text: str) -> int:
        """Return the server's count, else the guess."""
        counted = None if self._silent else self.asked(text)
        return estimate_tokens(text) if counted is None else counted

    def asked(self, text: str) -> int | None:
        """Return the server's count; None where it has none, after which it is left alone."""
        # vLLM and SGLang read `prompt`, llama.cpp reads `content`; each passes over the other's.
        body = {
            "model": self._model,
            "prompt": text,
            "content": text,
            "add_special_tokens": False,
            "add_special": False,
        }
        try:
            reply = self._client.post(self._url, json=body)
            said = reply.json() if reply.status_code == 200 else None
        except (httpx2.HTTPError, ValueError) as error:
            log.info("%s counts no tokens (%s)", self._url, type(error).__name__)
            said = None
        counted = _counted(said, text)
        self._silent = counted is None
        return counted


def _counted(said: Any, text: str) -> int | None:
    """Read the number of tokens of a text out of an answer; None where it can be none."""
    if not isinstance(said, dict):
        return None
    tokens = said.get("tokens")
    n = len(tokens) if isinstance(tokens, list) else said.get("count")
    # A byte-level tokenizer makes at most one token of a byte.
    possible = isinstance(n, int) and 0 < n <= len(text.encode(errors="replace")) + 2
    return n if possible else None
