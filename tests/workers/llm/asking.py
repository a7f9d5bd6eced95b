"""Requests and a quick client, for tests against a real local server."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.labels.stubs.plan import Faults

from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest, Message
from scopebook_workers.llm.retries import Retries
from scopebook_workers.llm.server import ServerChat

QUICK = Retries(base_s=0.005, longest_s=0.01)
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}


def say(messages: Sequence[Mapping[str, str]], schema: dict[str, Any] | None) -> str:
    """Answer with the last message, and whether a schema came with it."""
    return f"{messages[-1]['content']} {'with' if schema else 'without'} schema"


def request(content: str = "hello", **changes: Any) -> ChatRequest:
    """Return a request with one system and one user message."""
    messages = (Message(role="system", content="rules"), Message(role="user", content=content))
    return ChatRequest(**{"key": content, "messages": messages, "schema": SCHEMA, **changes})


def failing(name: str, **changes: Any) -> Faults:
    """Return the plan by which every request suffers this fault."""
    return Faults(shares={name: 1.0}, **changes)


def ask(url: str, *requests: ChatRequest, **options: Any) -> list[ChatAnswer | BaseException]:
    """Ask all at once; return answers and errors in the order of the requests."""

    async def run() -> list[ChatAnswer | BaseException]:
        settings = {"model": "stub", "retries": QUICK, "timeout_s": 5.0, **options}
        async with ServerChat(url, **settings) as chat:
            asking = (chat.ask(request) for request in requests)
            return await asyncio.gather(*asking, return_exceptions=True)

    return asyncio.run(run())


def answered(end: ChatAnswer | BaseException) -> ChatAnswer:
    """Return the answer, or raise what came instead."""
    if isinstance(end, BaseException):
        raise end
    return end


def failed(end: ChatAnswer | BaseException) -> ChatFailedError:
    """Return the failure; anything else fails the test."""
    assert isinstance(end, ChatFailedError), end
    return end
