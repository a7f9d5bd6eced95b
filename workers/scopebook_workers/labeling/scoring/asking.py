"""Put cases before a judge, some at a time, and read its answers; unreadable ones are counted."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from scopebook_workers.labeling.hostile_text import delimiter_of, fenced
from scopebook_workers.labeling.scoring.cases import Case, JudgedLabel
from scopebook_workers.labeling.scoring.score import Predictions, Usage
from scopebook_workers.llm.chat import Chat, ChatAnswer, ChatFailedError, ChatRequest, Message
from scopebook_workers.llm.together import together

#: Windows of one request.
TOGETHER: Final = 5
#: Enough for five answers also where a model writes blanks and line breaks.
ANSWER_TOKENS: Final = 60

T = TypeVar("T")


def booleans_schema(field: str, n: int) -> dict[str, Any]:
    """Return the schema of an object with one list of `n` booleans."""
    values = {"type": "array", "items": {"type": "boolean"}, "minItems": n, "maxItems": n}
    return {
        "type": "object",
        "properties": {field: values},
        "required": [field],
        "additionalProperties": False,
    }


def passages_request(
    key: str,
    system: str,
    texts: Sequence[str],
    schema: dict[str, Any],
    label: JudgedLabel | None = None,
) -> ChatRequest:
    """Return a request that shows the passages, and the label where there is one."""
    wording = [label.wording()] if label else []
    delimiter = delimiter_of(key, *wording, *texts)
    parts = [fenced(delimiter, "description", text) for text in wording]
    parts += [fenced(delimiter, f"passage {n}", text) for n, text in enumerate(texts, 1)]
    return ChatRequest(
        key=key,
        messages=[
            Message(role="system", content=system),
            Message(role="user", content="\n".join(parts)),
        ],
        schema=schema,
        max_tokens=ANSWER_TOKENS,
        temperature=0.0,
    )


def case_requests(
    key: str, system: str, field: str, label: JudgedLabel, cases: Sequence[Case]
) -> list[ChatRequest]:
    """Return the requests for all cases in their order, `TOGETHER` in each."""
    lots = [cases[start : start + TOGETHER] for start in range(0, len(cases), TOGETHER)]
    return [
        passages_request(
            f"{key}/{number}",
            system,
            [case.text() for case in lot],
            booleans_schema(field, len(lot)),
            label,
        )
        for number, lot in enumerate(lots)
    ]


async def predict(
    chat: Chat, requests: Sequence[ChatRequest], field: str, n_cases: int
) -> Predictions:
    """Ask all requests at once; a lot whose answer cannot be read has no answers."""

    def read(request: ChatRequest, answer: ChatAnswer) -> list[bool] | None:
        n = (request.schema or {})["properties"][field]["minItems"]
        return read_booleans(answer.text, field, n)

    answers, usage = await ask_all(chat, requests, read)
    said = np.full(n_cases, -1, dtype=np.int8)
    for number, values in enumerate(answers):
        if values is not None:
            start = number * TOGETHER
            said[start : start + len(values)] = values
    return Predictions(said=said, usage=usage, model_requested=chat.model)


async def ask_all(
    chat: Chat,
    requests: Sequence[ChatRequest],
    read: Callable[[ChatRequest, ChatAnswer], T | None],
) -> tuple[list[T | None], Usage]:
    """Return what `read` makes of each answer, None where there is none, and what it took.

    Errors that concern every request (a wrong key, a spent budget) are raised; the requests that
    are still under way are ended then.
    """
    results = await together(_ask(chat, request, read) for request in requests)
    return [value for value, _ in results], sum((usage for _, usage in results), Usage())


async def _ask(
    chat: Chat, request: ChatRequest, read: Callable[[ChatRequest, ChatAnswer], T | None]
) -> tuple[T | None, Usage]:
    try:
        answer = await chat.ask(request)
    except ChatFailedError:
        return None, Usage(requests=1, failed_requests=1)
    value = read(request, answer)
    return value, Usage(
        requests=1,
        failed_requests=int(value is None),
        tokens_in=answer.tokens_in,
        tokens_cached=answer.tokens_cached,
        tokens_out=answer.tokens_out,
        models=(answer.model,) if answer.model else (),
    )


_OBJECT: Final = re.compile(r"\{[^{}]*\}")


def read_object(text: str) -> dict[str, Any] | None:
    """Return the only JSON object of an answer, whatever stands around it; None without one.

    Two objects that differ are no answer: nobody can say which of them was meant.
    """
    found: list[dict[str, Any]] = []
    for match in _OBJECT.finditer(text):
        try:
            value = json.loads(match.group())
        except json.JSONDecodeError:
            continue
        if value not in found:
            found.append(value)
    return found[0] if len(found) == 1 else None


def read_booleans(text: str, field: str, n: int) -> list[bool] | None:
    """Return `n` booleans of an answer, also written as 0 and 1; None for anything else."""
    values = (read_object(text) or {}).get(field)
    if not isinstance(values, list) or len(values) != n:
        return None
    if any(type(value) not in (bool, int) or value not in (0, 1) for value in values):
        return None
    return [bool(value) for value in values]
