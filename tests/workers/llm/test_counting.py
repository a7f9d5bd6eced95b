"""Tokens are counted as the model counts them where its tokenizer is at hand."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from scopebook.demo import bundle_path
from scopebook.errors import CheckpointError
from scopebook_workers.llm.counting import counter_of
from scopebook_workers.llm.tokens import estimate_tokens

TEXT = "The river rose again; 河水再次上涨。 def rise(level): return level + 1"


def test_a_models_folder_counts_by_its_own_tokenizer() -> None:
    [file] = bundle_path().glob("models/*/tokenizer.json")

    counted = counter_of(str(file.parent))(TEXT)

    assert counted == len(Tokenizer.from_file(str(file)).encode(TEXT).ids)


def test_a_server_is_guessed() -> None:
    assert counter_of("http://localhost:8080/v1") is estimate_tokens


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no tokenizer"):
        counter_of(str(tmp_path))
