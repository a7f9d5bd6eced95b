"""The guess of tokens is held against a real byte-level tokenizer on the demo's mixed text."""

import json
from pathlib import Path

import pytest
from benchmarks.labels.stubs.plan import tokens_of
from tests.workers.llm.asking import request
from tokenizers import Tokenizer

from scopebook_workers.llm.tokens import estimate_request, estimate_tokens

BUNDLE = Path(__file__).parents[3] / "demo/scopebook_demo/bundle"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    lines = (BUNDLE / "corpus/sample.jsonl").read_text().splitlines()
    return [json.loads(line)["text"][:2_000] for line in lines]


def test_mixed_text_is_within_15_percent_of_a_small_vocabulary(texts: list[str]) -> None:
    """With 8,192 entries it makes a fifth more tokens than the vocabularies that hosts use."""
    [file] = BUNDLE.glob("models/*/tokenizer.json")
    tokenizer = Tokenizer.from_file(str(file))
    real = sum(len(cut.ids) for cut in tokenizer.encode_batch(texts))

    assert sum(map(estimate_tokens, texts)) == pytest.approx(real, rel=0.15)


def test_mixed_text_is_within_15_percent_of_what_the_stub_counts(texts: list[str]) -> None:
    assert sum(map(estimate_tokens, texts)) == pytest.approx(sum(map(tokens_of, texts)), rel=0.15)


@pytest.mark.parametrize("text", ["", "   ", "a", "中文", "\ud800", "\x00", "😀" * 10, "ทดสอบ"])
def test_odd_text_has_a_number_of_tokens(text: str) -> None:
    assert 0 <= estimate_tokens(text) <= 4 * len(text) + 1


def test_a_schema_counts_as_read() -> None:
    assert estimate_request(request()) > estimate_request(request(schema=None))
