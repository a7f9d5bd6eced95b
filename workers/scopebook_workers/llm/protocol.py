"""The chat-completions protocol: the body that is sent, and what the body that comes back says."""

import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from scopebook_workers.llm.budget import Usage
from scopebook_workers.llm.chat import ChatAnswer, ChatFailedError, ChatRequest
from scopebook_workers.llm.tokens import estimate_request, estimate_tokens

Structure = Literal["json_schema", "json_object", "none"]
#: Characters of a strange answer that are kept for whoever looks for the cause.
KEPT: Final = 2_000
_THOUGHT: Final = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one server likes to be asked; it is learned from what it refuses."""

    structure: Structure = "json_schema"
    limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    with_temperature: bool = True
    with_seed: bool = True
    #: Whether templates that can think are told not to (vLLM, llama.cpp server).
    with_template_options: bool = True

    def body(self, request: ChatRequest, model: str) -> dict[str, Any]:
        """Return what is sent; the same for the same request."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            self.limit_name: request.max_tokens,
        }
        if self.with_temperature:
            body["temperature"] = request.temperature
        if self.with_seed and request.seed is not None:
            body["seed"] = request.seed
        if request.schema is not None and self.structure != "none":
            body["response_format"] = _response_format(self.structure, request.schema)
        if self.with_template_options:
            body["chat_template_kwargs"] = {"enable_thinking": False}
        return body

    def after_refusal(self, status: int, said: str, *, structured: bool) -> "Dialect | None":
        """Return how to ask instead of what was refused with 400 or 422, or None.

        `structured` says whether a structure was asked for. What the server names is dropped;
        of an unnamed complaint the structure is the likeliest cause, if the status is 422.
        """
        said = said.lower()
        if self.with_template_options and _names(said, "chat_template_kwargs", "enable_thinking"):
            return replace(self, with_template_options=False)
        if self.limit_name == "max_tokens" and "max_completion_tokens" in said:
            return replace(self, limit_name="max_completion_tokens")
        if structured and _names(said, "response_format", "json_schema", "json_object", "grammar"):
            return self._less_structured()
        if self.with_temperature and "temperature" in said:
            return replace(self, with_temperature=False)
        if self.with_seed and re.search(r"\bseed\b", said):
            return replace(self, with_seed=False)
        return self._after_unnamed(structured) if status == 422 else None

    def _after_unnamed(self, structured: bool) -> "Dialect | None":
        if structured and (less := self._less_structured()):
            return less
        if self.with_template_options:
            return replace(self, with_template_options=False)
        return None

    def _less_structured(self) -> "Dialect | None":
        if self.structure == "json_schema":
            return replace(self, structure="json_object")
        return replace(self, structure="none") if self.structure == "json_object" else None


def _names(said: str, *words: str) -> bool:
    return any(word in said for word in words)


def _response_format(structure: Structure, schema: dict[str, Any]) -> dict[str, Any]:
    if structure == "json_object":
        return {"type": "json_object"}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title", "answer")))[:64] or "answer"
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": True, "schema": schema},
    }


def read_answer(body: bytes | str | dict[str, Any], request: ChatRequest) -> ChatAnswer:
    """Return what a completion says.

    Raises ChatFailedError: `protocol` for what is no completion, `refused`, `length`, `empty`.
    """
    content = body if isinstance(body, dict) else _parse(body)
    raw = _shown(body)
    try:
        choice = content["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
        finish = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ChatFailedError(
            "protocol", "the answer has no choices[0].message", raw=raw
        ) from error
    if not isinstance(text, str | None):
        raise ChatFailedError("protocol", "the answer's content is no text", raw=raw)
    text = _THOUGHT.sub("", text or "")
    _check_complete(text, refusal, finish)
    usage = read_usage(content, request, text)
    return ChatAnswer(
        text=text,
        model=_text(content.get("model")),
        system_fingerprint=_text(content.get("system_fingerprint")),
        finish_reason=_text(finish),
        tokens_in=usage.tokens_in,
        tokens_cached=usage.tokens_cached,
        tokens_out=usage.tokens_out,
    )


def _check_complete(text: str, refusal: Any, finish: Any) -> None:
    if refusal or finish == "content_filter":
        why = str(refusal or "its content filter")[:KEPT]
        raise ChatFailedError("refused", f"the model refused: {why}", raw=str(refusal or text))
    if finish == "length":
        raise ChatFailedError(
            "length", "the answer was cut off at the most tokens it may have", raw=text
        )
    if not text.strip():
        raise ChatFailedError("empty", "the answer is empty", raw=text)


def read_usage(content: Any, request: ChatRequest, text: str = "") -> Usage:
    """Return the tokens that the answer reports; what it does not say is estimated."""
    said = content.get("usage") if isinstance(content, dict) else None
    said = said if isinstance(said, dict) else {}
    details = said.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    read = _count(said.get("prompt_tokens"))
    written = _count(said.get("completion_tokens"))
    read = estimate_request(request) if read is None else read
    return Usage(
        tokens_in=read,
        tokens_cached=min(_count(cached) or _count(said.get("prompt_cache_hit_tokens")) or 0, read),
        tokens_out=estimate_tokens(text) if written is None else written,
    )


def parse_or_none(body: bytes) -> Any:
    """Return what the JSON says, or None when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _parse(body: bytes | str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ChatFailedError(
            "protocol", "the answer is no JSON (a web page, or cut off)", raw=_shown(body)
        ) from error
    if not isinstance(content, dict):
        raise ChatFailedError("protocol", "the answer is no JSON object", raw=_shown(body))
    return content


def _shown(body: bytes | str | dict[str, Any]) -> str:
    if isinstance(body, dict):
        return json.dumps(body, ensure_ascii=False)[:KEPT]
    return (body[:KEPT].decode(errors="replace") if isinstance(body, bytes) else body)[:KEPT]


def _count(value: Any) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if good else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
