"""A model's folder that brings programs along: none of them runs."""

import json
from pathlib import Path

import pytest
import torch
from tests.tiny_models import save_tiny_model

from scopebook.errors import CheckpointError, InvalidInputError
from scopebook_workers.inference.prompts import render_chat
from scopebook_workers.labeling.embedders import load_embedder
from scopebook_workers.qwen.model import load_model
from scopebook_workers.qwen.tokenizer import load_tokenizer

USER = [{"role": "user", "content": "hello"}]


def _lay_program(folder: Path, tmp_path: Path) -> Path:
    """Put a program into a folder that makes a file when it is imported; return the file."""
    made = tmp_path / "ran"
    code = f"import pathlib\npathlib.Path({str(made)!r}).touch()\n"
    classes = "class Config:\n    pass\nclass Model:\n    pass\nclass Tokenizer:\n    pass\n"
    (folder / "hostile.py").write_text(code + classes)
    return made


def _with(folder: Path, name: str, **more: object) -> None:
    file = folder / name
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | more))


def test_a_model_of_its_own_kind_is_refused_and_its_program_not_run(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    made = _lay_program(folder, tmp_path)
    classes = {"AutoConfig": "hostile.Config", "AutoModelForCausalLM": "hostile.Model"}
    _with(folder, "config.json", model_type="hostile", auto_map=classes)

    with pytest.raises(CheckpointError, match="hostile"):
        load_model(folder, torch.device("cpu"))

    assert not made.exists()


def test_a_tokenizer_of_its_own_kind_is_refused_and_its_program_not_run(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    made = _lay_program(folder, tmp_path)
    (folder / "tokenizer.json").unlink()
    _with(folder, "config.json", model_type="hostile")
    classes = {"AutoTokenizer": ["hostile.Tokenizer", None]}
    _with(folder, "tokenizer_config.json", tokenizer_class="Tokenizer", auto_map=classes)

    with pytest.raises(CheckpointError, match="tokenizer"):
        load_tokenizer(folder)

    assert not made.exists()


def test_an_embedder_of_its_own_modules_is_refused_and_its_program_not_run(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    made = _lay_program(folder, tmp_path)
    module = {"idx": 0, "name": "0", "path": "", "type": "hostile.Model"}
    (folder / "modules.json").write_text(json.dumps([module]))

    with pytest.raises((CheckpointError, InvalidInputError)):
        load_embedder(str(folder))

    assert not made.exists()


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('touch ran') }}",
        "{{ messages.append({'role': 'user'}) }}",
        "{% for a in range(999999999) %}x{% endfor %}",
        "{% include '/etc/passwd' %}",
    ],
    ids=["classes", "globals", "change", "endless", "file"],
)
def test_a_chat_template_reaches_nothing_but_the_turns(tmp_path: Path, template: str) -> None:
    folder = save_tiny_model(tmp_path / "model")
    _with(folder, "tokenizer_config.json", chat_template=template)

    with pytest.raises(InvalidInputError, match="chat template"):
        render_chat(folder, USER, thinking=None)
