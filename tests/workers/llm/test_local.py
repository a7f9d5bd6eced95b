"""A checkpoint in this process, against generation one by one."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from scopebook.errors import CheckpointError, InvalidInputError
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest, Message
from scopebook_workers.llm.local import LocalChat
from scopebook_workers.llm.opening import open_chat
from scopebook_workers.llm.server import ServerChat
from tiny_models import save_tiny_model

_TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    "{% if enable_thinking is false %}<no-think>{% endif %}"
)
_CONTENTS = ("the cat", "the dog ran to the cat and sat on the mat", "中文", "der Hund", "a")


@pytest.fixture(scope="module", params=["qwen3", "qwen3_5"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)


def with_template(folder: Path) -> Path:
    """Give a checkpoint a chat template."""
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": _TEMPLATE}))
    return folder


def request(content: str, max_tokens: int = 12) -> ChatRequest:
    messages = (Message(role="system", content="say"), Message(role="user", content=content))
    return ChatRequest(key=content, messages=messages, max_tokens=max_tokens)


def ask(folder: Path, requests: Sequence[ChatRequest]) -> list[tuple[str, str]]:
    """Return how each request ended, and its text."""

    async def run() -> list[Any]:
        async with LocalChat(folder, device="cpu") as chat:
            return await asyncio.gather(*map(chat.ask, requests), return_exceptions=True)

    return [_ended(end) for end in asyncio.run(run())]


def _ended(end: ChatAnswer | Exception) -> tuple[str, str]:
    if isinstance(end, ChatFailedError):
        return end.error_class, end.raw
    assert isinstance(end, ChatAnswer), end
    return "answered", end.text


def one_by_one(folder: Path, prompt: str, max_tokens: int) -> str:
    """Take the likeliest token again and again, without batch, padding or cache."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt)["input_ids"]
    new: list[int] = []
    with torch.no_grad():
        while len(new) < max_tokens:
            scores = model(torch.tensor([ids + new]), use_cache=False).logits[0, -1]
            token = int(scores.argmax())
            if token == model.config.eos_token_id:
                break
            new.append(token)
    return str(tokenizer.decode(new, skip_special_tokens=True))


def test_what_is_asked_together_is_answered_as_if_asked_alone(checkpoint: Path) -> None:
    ended = ask(checkpoint, [request(content) for content in _CONTENTS])

    prompts = [f"System: say\n\nUser: {content}\n\nAssistant:" for content in _CONTENTS]
    assert [text for _, text in ended] == [one_by_one(checkpoint, p, 12) for p in prompts]


def test_each_request_ends_at_its_own_most_tokens(checkpoint: Path) -> None:
    [long] = ask(checkpoint, [request("the cat", 12)])
    both = ask(checkpoint, [request("the cat", 4), request("the cat", 12)])

    assert both[1] == long
    assert long[1].startswith(both[0][1])
    assert both[0][0] == "length"


def test_a_chat_template_is_used_and_told_not_to_think(tmp_path: Path) -> None:
    folder = with_template(save_tiny_model(tmp_path))

    [(_, text)] = ask(folder, [request("the cat")])

    prompt = "<system>say<user>the cat<assistant><no-think>"
    assert text == one_by_one(folder, prompt, 12)


def test_a_template_that_refuses_the_conversation_is_named(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path)
    refusing = "{{ raise_exception('no system message') }}"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": refusing}))

    async def run() -> None:
        async with LocalChat(folder, device="cpu") as chat:
            await chat.ask(request("a"))

    with pytest.raises(CheckpointError, match="no system message"):
        asyncio.run(run())


def test_open_chat_tells_servers_and_folders_apart(checkpoint: Path) -> None:
    async def run() -> None:
        async with open_chat(endpoint=str(checkpoint), device="cpu") as chat:
            assert isinstance(chat, LocalChat)
            assert (chat.model, chat.endpoint) == (checkpoint.name, str(checkpoint))
        async with open_chat(endpoint="http://localhost:1/v1", model="m") as chat:
            assert isinstance(chat, ServerChat)
            assert (chat.model, chat.endpoint) == ("m", "http://localhost:1/v1")

    asyncio.run(run())


@pytest.mark.parametrize("endpoint", ["", "localhost:8080/v1", "/no/such/folder"])
def test_what_is_neither_is_refused(endpoint: str) -> None:
    async def run() -> None:
        async with open_chat(endpoint=endpoint, model="m"):
            pass

    with pytest.raises(InvalidInputError, match=r"neither an http\(s\):// address nor a folder"):
        asyncio.run(run())


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_chat(endpoint=str(tmp_path)):
            pass

    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        asyncio.run(run())
