"""A chat as the model's own template writes it."""

import json
from pathlib import Path

import pytest
import torch
from tests.tiny_models import save_tiny_model
from tokenizers import Tokenizer

from scopebook.errors import InvalidInputError
from scopebook_workers.inference.prompts import read_prompts, render_chat
from scopebook_workers.inference.residents import Resident, Residents

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
HELLO = {"role": "user", "content": "the cat 中文"}
REPLY = {"role": "assistant", "content": "der Hund 🎉"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokenizer knows the marks of turns, and a template."""
    folder = save_tiny_model(tmp_path_factory.mktemp("model"))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def resident(folder: Path) -> Resident:
    return Residents(torch.device("cpu")).model(str(folder))


def test_a_chat_is_the_templates_text_token_for_token(resident: Resident) -> None:
    asked = [{"messages": [HELLO, REPLY], "thinking": None}]

    [prompt] = read_prompts(resident, asked, names=["The text"], most_tokens=200)

    assert prompt.text == (
        "<|im_start|>user\nthe cat 中文<|im_end|>\n<|im_start|>assistant\nder Hund 🎉<|im_end|>\n"
    )
    assert b"".join(resident.pieces[token] for token in prompt.token_ids).decode() == prompt.text
    marks = [token for token in prompt.token_ids.tolist() if token in resident.special]
    assert [resident.pieces[mark] for mark in marks] == [b"<|im_start|>", b"<|im_end|>"] * 2
    covered = {place for start, end in prompt.spans.tolist() for place in range(start, end)}
    assert covered == set(range(len(prompt.text)))


def test_after_a_users_turn_the_assistants_begins(folder: Path) -> None:
    assert render_chat(folder, [HELLO], thinking=None).endswith("<|im_start|>assistant\n")
    assert render_chat(folder, [HELLO], thinking=True).endswith("<|im_start|>assistant\n")
    assert render_chat(folder, [HELLO], thinking=False).endswith("</think>\n\n")


def test_what_a_template_refuses_is_told_in_its_words(folder: Path) -> None:
    with pytest.raises(InvalidInputError, match="refuses these turns: no tools here"):
        render_chat(folder, [HELLO, {"role": "tool", "content": "x"}], thinking=None)
