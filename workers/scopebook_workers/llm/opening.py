"""Open a language model, whatever it is: a server's address, or a folder with a checkpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from scopebook.errors import InvalidInputError
from scopebook_workers.llm.addresses import is_address
from scopebook_workers.llm.budget import Budget
from scopebook_workers.llm.chat import Chat
from scopebook_workers.llm.server import ServerChat

if TYPE_CHECKING:
    from scopebook_workers.llm.local import LocalChat


@asynccontextmanager
async def open_chat(
    *,
    endpoint: str,
    model: str | None = None,
    api_key: SecretStr | None = None,
    parallel: int = 64,
    timeout_s: float = 120.0,
    budget: Budget | None = None,
    device: str = "auto",
) -> AsyncIterator[Chat]:
    """Give the model at `endpoint` inside the block: `http(s)://host/v1`, or a folder.

    A server needs `model`, the name it serves; a folder takes it as its own name. Raises
    InvalidInputError for anything else, and CheckpointError for a folder that is no model.
    """
    if is_address(endpoint):
        server = ServerChat(
            endpoint,
            model=model or "",
            api_key=api_key,
            parallel=parallel,
            timeout_s=timeout_s,
            budget=budget,
        )
        async with server as chat:
            yield chat
        return
    folder = Path(endpoint).expanduser()
    if not endpoint.strip() or not folder.is_dir():
        raise InvalidInputError(
            f"{endpoint!r} is neither an http(s):// address nor a folder; give a server's base "
            "URL, e.g. http://localhost:8080/v1, or the folder of a model."
        )
    async with _local(folder, model=model, device=device, budget=budget) as chat:
        yield chat


def _local(folder: Path, *, model: str | None, device: str, budget: Budget | None) -> "LocalChat":
    """Return a checkpoint's model; who asks a server does not wait until torch is imported."""
    kind: type[LocalChat] = import_module("scopebook_workers.llm.local").LocalChat
    return kind(folder, model=model, device=device, budget=budget)
