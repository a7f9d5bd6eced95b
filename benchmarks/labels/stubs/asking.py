"""Requests like those for labels, and asking them all: for where only the way is looked at."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scopebook.errors import ScopebookError
from scopebook_workers.llm.chat import (
    Chat,
    ChatAnswer,
    ChatFailedError,
    ChatRequest,
    Message,
)

SCHEMA: Final[dict[str, Any]] = {
    "title": "label",
    "type": "object",
    "properties": {"label": {"type": "string"}},
    "required": ["label"],
    "additionalProperties": False,
}
#: Longer than what hosts need to keep a beginning, like the rules for labels.
_RULES: Final = "Say in a few words what the passages have in common, and nothing else. " * 90


def label_requests(count: int) -> list[ChatRequest]:
    """Return requests of a label's size, each with a key and a passage of its own."""
    return [
        ChatRequest(
            key=f"feature-{number:05d}",
            messages=(
                Message(role="system", content=_RULES),
                Message(role="user", content=f"Number {number}. " + "The river rose again. " * 250),
            ),
            schema=SCHEMA,
        )
        for number in range(count)
    ]


def say_number(messages: Sequence[Mapping[str, str]], schema: dict[str, Any] | None) -> str:
    """Answer with the number that stands in the request."""
    number = messages[-1]["content"].split(".", 1)[0].removeprefix("Number ")
    return json.dumps({"label": f"passage {number}"})


async def ask_all(
    chat: Chat, requests: Sequence[ChatRequest]
) -> dict[str, ChatAnswer | ChatFailedError]:
    """Ask everything at once; return by key how each request ended.

    Raises the ScopebookError that ends them all, after the others were cancelled.
    """
    ended: dict[str, ChatAnswer | ChatFailedError] = {}

    async def ask(request: ChatRequest) -> None:
        try:
            end: ChatAnswer | ChatFailedError = await chat.ask(request)
        except ChatFailedError as failed:
            end = failed
        if request.key in ended:
            raise AssertionError(f"{request.key} ended twice")
        ended[request.key] = end

    try:
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(ask(request))
    except* ScopebookError as stopped:
        raise stopped.exceptions[0] from None
    return ended
