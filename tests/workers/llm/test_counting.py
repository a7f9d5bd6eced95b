"""Tokens are counted as the model counts them where its tokenizer is at hand."""

from pathlib import Path
from typing import Any

import pytest
from tests.chat_server import Chats, serve_chats
from tokenizers import Tokenizer

from scopebook.demo import bundle_path
from scopebook.errors import CheckpointError
from scopebook_workers.llm.counting import GUESS, counting_of
from scopebook_workers.llm.tokens import estimate_tokens

TEXT = "The river rose again; 河水再次上涨。 def rise(level): return level + 1"


def test_a_models_folder_counts_by_its_own_tokenizer() -> None:
    [file] = bundle_path().glob("models/*/tokenizer.json")

    counting = counting_of(str(file.parent), model="demo")

    assert counting.by == "tokenizer"
    assert counting.count(TEXT) == len(Tokenizer.from_file(str(file)).encode(TEXT).ids)


def test_a_server_that_counts_is_asked_as_vllm_and_as_llama_cpp_are() -> None:
    asked: list[dict[str, Any]] = []

    def count(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        return {"tokens": request["content"].split()}

    with serve_chats(Chats(tokenize=count)) as chats:
        counting = counting_of(chats.url, model="stub")
        assert counting.by == "server"
        assert counting.count(TEXT) == counting.count(TEXT) == len(TEXT.split())
    [_, again] = asked  # one to see whether it counts; the same text is asked for once
    assert again["prompt"] == TEXT
    assert again["add_special_tokens"] is again["add_special"] is False
    assert chats.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        {"count": 0},
        {"count": 1},
        {"count": 10_000},
        {"tokens": []},
        {"count": "8"},
        [1, 2, 3],
        "eight",
        None,
    ],
    ids=repr,
)
def test_what_can_be_no_count_is_not_believed(answer: Any) -> None:
    with serve_chats(Chats(tokenize=lambda request: answer)) as chats:
        assert counting_of(chats.url, model="stub") is GUESS


def test_a_server_that_counts_no_tokens_or_is_none_is_guessed() -> None:
    with serve_chats() as chats:
        assert counting_of(chats.url, model="stub") is GUESS
    assert counting_of(chats.url, model="stub") is GUESS


def test_a_server_that_stops_counting_is_guessed_from_then_on_and_left_alone() -> None:
    asked: list[str] = []

    def count(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request["content"])
        return {"count": len(request["content"]) // 4 if len(asked) < 3 else -1}

    with serve_chats(Chats(tokenize=count)) as chats:
        counting = counting_of(chats.url, model="stub")
        counted = [counting.count(f"{TEXT} {number}") for number in range(4)]
    assert counted == [
        len(f"{TEXT} 0") // 4,
        *(estimate_tokens(f"{TEXT} {number}") for number in (1, 2, 3)),
    ]
    assert len(asked) == 3


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer"):
        counting_of(str(tmp_path), model="demo")
