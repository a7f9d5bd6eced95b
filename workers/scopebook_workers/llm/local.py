"""Ask a checkpoint on this machine: requests that wait together are generated together."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import torch
from transformers import AutoTokenizer, PreTrainedModel

from scopebook.errors import CheckpointError
from scopebook_workers.llm.budget import Budget, Usage
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest
from scopebook_workers.qwen.model import choose_device, load_model

#: How many requests are generated together at most.
_BATCH: Final = 8


@dataclass(frozen=True)
class _Waiting:
    request: ChatRequest
    done: asyncio.Future[ChatAnswer]


class LocalChat:
    """A model in this process, greedy; use it as an async context manager.

    It cannot be held to a schema: whoever asks repairs what comes back.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str | None = None,
        device: str = "auto",
        batch: int = _BATCH,
        budget: Budget | None = None,
    ) -> None:
        """Load the checkpoint in `path`; raises CheckpointError for a folder that is no model."""
        self._path, self._name, self._batch = path, model or path.name, max(1, batch)
        self._budget = budget or Budget()
        self._loaded = load_model(path, choose_device(device))
        self._tokenizer = _load_tokenizer(path)
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._generator: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generate")

    @property
    def model(self) -> str:
        """The folder's name, unless another was given."""
        return self._name

    @property
    def endpoint(self) -> str:
        """The folder."""
        return str(self._path)

    async def __aenter__(self) -> Self:
        """Begin to take requests."""
        self._generator = asyncio.create_task(self._generate_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End after the batch that is under way."""
        if self._generator is not None:
            self._generator.cancel()
            await asyncio.gather(self._generator, return_exceptions=True)
        self._thread.shutdown(wait=True)

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Return the answer; raises ChatFailedError (`length`, `empty`) and BudgetSpentError."""
        began = time.monotonic()
        reserved = await self._budget.reserve(request)
        used: Usage | None = None
        try:
            waiting = _Waiting(request, asyncio.get_running_loop().create_future())
            self._queue.put_nowait(waiting)
            answer = await waiting.done
            used = Usage(tokens_in=answer.tokens_in, tokens_out=answer.tokens_out)
        finally:
            await self._budget.settle(reserved, request, used)
        if answer.finish_reason == "length":
            raise ChatFailedError(
                "length", f"the answer was cut off at {request.max_tokens} tokens", raw=answer.text
            )
        if not answer.text.strip():
            raise ChatFailedError("empty", "the answer is empty", raw=answer.text)
        return replace(answer, latency_ms=round((time.monotonic() - began) * 1000))

    async def _generate_all(self) -> None:
        while True:
            batch = [await self._queue.get()]
            # All who ask at this moment get to queue up before the batch is closed.
            await asyncio.sleep(0)
            while len(batch) < self._batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            wanted = [waiting for waiting in batch if not waiting.done.done()]
            if wanted:
                await self._answer(wanted)

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        requests = [waiting.request for waiting in batch]
        try:
            answers = await loop.run_in_executor(self._thread, self._generate, requests)
        except Exception as error:  # whatever ends a generation, those who wait must hear of it
            for waiting in batch:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.done.cancel()
            raise
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(answer)

    def _generate(self, requests: Sequence[ChatRequest]) -> list[ChatAnswer]:
        """Return the greedy answers; the batch is padded on the left."""
        prompts = [self._prompt_ids(request) for request in requests]
        longest = max(map(len, prompts))
        ids = torch.full((len(prompts), longest), self._pad)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        model: PreTrainedModel = self._loaded
        with torch.inference_mode():
            generated: Any = model.generate(  # type: ignore[operator]
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max(request.max_tokens for request in requests),
                do_sample=False,
                pad_token_id=self._pad,
            )
        return [
            self._read(request, len(prompt), row[longest:].tolist())
            for request, prompt, row in zip(requests, prompts, generated, strict=True)
        ]

    def _read(self, request: ChatRequest, tokens_in: int, new: list[int]) -> ChatAnswer:
        ends = self._ends
        stop = next((place for place, token in enumerate(new) if token in ends), None)
        whole = stop is not None and stop < request.max_tokens
        kept = new[:stop] if whole else new[: request.max_tokens]
        text = self._tokenizer.decode(kept, skip_special_tokens=True)
        return ChatAnswer(
            text=str(text),
            model=self._name,
            finish_reason="stop" if whole else "length",
            tokens_in=tokens_in,
            tokens_out=len(kept),
        )

    def _prompt_ids(self, request: ChatRequest) -> list[int]:
        turns = [{"role": m.role, "content": m.content} for m in request.messages]
        if not self._tokenizer.chat_template:
            return self._ids(_plain(request))
        try:
            # Templates that know no `enable_thinking` do not look at it.
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except Exception as error:  # a template is a program: it may raise anything at all
            raise CheckpointError(
                f"the chat template of {self._path} refuses the conversation ({error}); give a "
                "model whose template takes a system message."
            ) from error
        return self._ids(str(text))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    @property
    def _ends(self) -> frozenset[int]:
        said: Any = self._loaded.generation_config
        ends = said.eos_token_id if said is not None else None
        ends = ends if isinstance(ends, list) else [ends]
        return frozenset(
            token for token in (*ends, self._tokenizer.eos_token_id) if token is not None
        )

    @property
    def _pad(self) -> int:
        for token in (self._tokenizer.pad_token_id, *sorted(self._ends)):
            if token is not None:
                return int(token)
        return 0


def _plain(request: ChatRequest) -> str:
    """Return the conversation for a model that was never taught one."""
    return "".join(f"{m.role.title()}: {m.content}\n\n" for m in request.messages) + "Assistant:"


def _load_tokenizer(path: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the Rust library raises plain Exception
        raise CheckpointError(
            f"{path} holds no tokenizer that can be loaded ({type(error).__name__}); give a model "
            "folder with a tokenizer.json."
        ) from error
