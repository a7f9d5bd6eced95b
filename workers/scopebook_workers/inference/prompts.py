"""A request's texts as tokens: plain, or a chat in the words of the model's own template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from scopebook.errors import InvalidInputError
from scopebook_workers.inference.residents import Resident
from scopebook_workers.qwen.tokenizer import cut_texts


@dataclass(frozen=True, eq=False)
class Prompt:
    """A text as the model reads it, and the first and last (exclusive) character of each token."""

    text: str
    token_ids: NDArray[np.int32]  # (token,)
    spans: NDArray[np.int32]  # (token, 2)


def read_prompts(
    resident: Resident,
    asked: Sequence[Mapping[str, Any]],
    *,
    names: Sequence[str],
    most_tokens: int,
) -> list[Prompt]:
    """Return the prompts: each is `{"text": ...}` or `{"messages": [...], "thinking": ...}`.

    `names` is what a sentence calls each.

    Raises InvalidInputError for a text without tokens or with more than `most_tokens`.
    """
    texts = [_text(resident, prompt) for prompt in asked]
    found = [
        Prompt(text, token_ids, spans)
        for text, (token_ids, spans) in zip(
            texts, cut_texts(resident.tokenizer, texts), strict=True
        )
    ]
    for which, prompt in zip(names, found, strict=True):
        if not len(prompt.token_ids):
            raise InvalidInputError(f"{which} has no tokens; give some words.")
        if len(prompt.token_ids) > most_tokens:
            raise InvalidInputError(
                f"{which} has {len(prompt.token_ids):,} tokens and {most_tokens:,} are run live; "
                "shorten it, or run it as a data set: `scopebook scan`."
            )
        if (beyond := int(prompt.token_ids.max())) >= resident.vocabulary:
            raise InvalidInputError(
                f"{which} has the token {beyond}, but the model knows {resident.vocabulary:,}: its "
                "tokenizer belongs to another model."
            )
    return found


def _text(resident: Resident, prompt: Mapping[str, Any]) -> str:
    if "messages" not in prompt:
        text: str = prompt["text"]
        return text
    return render_chat(resident.path, prompt["messages"], thinking=prompt.get("thinking"))


def render_chat(path: Path, messages: Sequence[Mapping[str, str]], *, thinking: bool | None) -> str:
    """Return a chat as the model's own template writes it.

    After a last turn of the user it ends where the assistant's begins. `thinking` is for templates
    that know it; None leaves it to them.
    """
    tokenizer = _templated(path)
    options: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
    try:
        rendered: str = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=messages[-1]["role"] != "assistant",
            **options,
        )
    except Exception as error:  # a template is a program: it may raise anything at all
        raise InvalidInputError(
            f"The chat template of {path.name} refuses these turns: {error}; change their roles "
            "or their order."
        ) from error
    return rendered


@lru_cache(maxsize=1)
def _templated(path: Path) -> Any:
    loader: Any = AutoTokenizer
    tokenizer = loader.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise InvalidInputError(
            f"The tokenizer of {path.name} has no chat template, so it knows no turns; give the "
            "conversation as a text."
        )
    return tokenizer
