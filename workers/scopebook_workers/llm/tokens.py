"""Guess how many tokens a text has, without the model's tokenizer."""

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from scopebook_workers.labeling.characters import script_of
from scopebook_workers.llm.chat import ChatRequest, Message

_PARTS: Final = re.compile(
    r"(?P<word>[^\W\d_]+)|(?P<digit>\d)|(?P<line>\s*\n\s*)|(?P<gap>[ \t]{2,})|(?P<mark>[^\w\s]+|_+)"
)
#: Tokens of a word of up to four letters, and of each letter beyond; fitted on text of eleven
#: languages and of code against two vocabularies of 130,000 and 150,000 entries.
_WORD: Final = {"Latin": (1.05, 0.15), "accented": (2.7, 0.2), "Cyrillic": (1.05, 0.43)}
#: Tokens of one character of a script that is written without spaces.
_CHARACTER: Final = {"Han": 0.92, "Kana": 0.69, "Hangul": 0.9}
_OTHER_CHARACTER: Final = 1.1
_PLAIN: Final = {"digit": 1.3, "line": 1.45, "gap": 0.75}
_MARK, _MORE_MARKS = 0.6, 0.09
_SHORT_WORD: Final = 4
#: What a chat template puts around a message, and before the answer.
_AROUND_MESSAGE, _BEFORE_ANSWER = 5, 3

#: Returns how many tokens a text has.
Counter = Callable[[str], int]


@lru_cache(maxsize=256)
def estimate_tokens(text: str) -> int:
    """Return about how many tokens a tokenizer with a large vocabulary makes of `text`.

    Over requests for wordings it is within 5 % of Qwen's tokenizer; on other mixed text it errs to
    the high side by 5 to 10 %.
    """
    return round(sum(_cost(part.lastgroup or "", part[0]) for part in _PARTS.finditer(text)))


def estimate_request(request: ChatRequest, count: Counter = estimate_tokens) -> int:
    """Return about how many tokens a server counts as read: messages and schema."""
    schema = count(_schema_text(request)) if request.schema is not None else 0
    return schema + estimate_messages(request.messages, count)


def estimate_messages(messages: Sequence[Message], count: Counter = estimate_tokens) -> int:
    """Return about how many tokens a conversation has, with what a template puts around it."""
    return _BEFORE_ANSWER + sum(estimate_message(message, count) for message in messages)


def estimate_message(message: Message, count: Counter = estimate_tokens) -> int:
    """Return about how many tokens one message takes, with what a template puts around it."""
    return _AROUND_MESSAGE + count(message.content)


def most_tokens(messages: Sequence[Message]) -> int:
    """Return what a byte-level tokenizer cannot exceed: one token a byte."""
    bytes_in = sum(len(message.content.encode(errors="replace")) for message in messages)
    return bytes_in + 4 * _AROUND_MESSAGE * (len(messages) + 1)


def _schema_text(request: ChatRequest) -> str:
    return json.dumps(request.schema, sort_keys=True)


def _cost(kind: str, part: str) -> float:
    if kind == "word":
        return _word_cost(part)
    if kind == "mark":
        return _MARK + _MORE_MARKS * (len(part) - 1)
    return _PLAIN[kind]


def _word_cost(word: str) -> float:
    script = script_of(word[0])
    if script == "Latin":
        script = "Latin" if word.isascii() else "accented"
    if script in _WORD:
        first, more = _WORD[script]
        return first + more * max(0, len(word) - _SHORT_WORD)
    return sum(_CHARACTER.get(script_of(char) or "", _OTHER_CHARACTER) for char in word)
