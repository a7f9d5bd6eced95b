import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny_models import FAMILIES, save_tiny_model, tiny_multimodal_model
from torch.testing import assert_close

from scopebook.errors import CheckpointError, InvalidInputError
from scopebook_workers.qwen.capture import run_to
from scopebook_workers.qwen.model import (
    choose_device,
    load_model,
    memory_needed,
    read_facts,
    weight_files,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads_and_says_its_shape(tmp_path: Path, family: str) -> None:
    path = save_tiny_model(tmp_path, family)

    facts = read_facts(path)
    model = load_model(path, CPU)

    assert (facts.layers, facts.d_model, facts.vocab_size) == (4, 32, 400)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_of_a_multimodal_checkpoint_only_the_text_model_is_loaded(tmp_path: Path) -> None:
    whole = tiny_multimodal_model()
    whole.save_pretrained(tmp_path)
    tokens = torch.arange(2, 12)[None]
    mask = torch.ones_like(tokens, dtype=torch.bool)

    text = load_model(tmp_path, CPU)

    assert read_facts(tmp_path).layers == 4
    assert not any("visual" in name for name, _ in text.named_parameters())
    assert_close(run_to(text, [1], tokens, mask)[1], run_to(whole, [1], tokens, mask)[1])


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a model: it holds no config\.json; give the"):
        load_model(tmp_path, CPU)


def test_a_kind_that_transformers_does_not_know_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "qwen99"}')

    with pytest.raises(CheckpointError, match=r"'qwen99', which transformers \S+ does not load"):
        read_facts(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_config_that_names_no_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)

    with pytest.raises(CheckpointError, match="names no model_type"):
        read_facts(tmp_path)


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')

    with pytest.raises(CheckpointError, match="'resnet', which has no decoder layers"):
        read_facts(tmp_path)


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path)
    weights = load_file(path / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(CheckpointError, match=r"lack 'model\.layers\.2\.mlp\.up_proj\.weight'"):
        load_model(path, CPU)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path)
    config: dict[str, Any] = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))

    with pytest.raises(CheckpointError, match=r"do not fit its config\.json \(RuntimeError"):
        load_model(path, CPU)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path)
    (path / "model.safetensors").unlink()

    with pytest.raises(CheckpointError, match=r"holds no \*\.safetensors file"):
        load_model(path, CPU)


def test_a_cut_off_weight_file_is_refused(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path)
    (path / "model.safetensors").write_bytes(b"\x10\x00")

    with pytest.raises(CheckpointError, match="cut off or no safetensors file"):
        load_model(path, CPU)


def test_a_model_that_does_not_fit_is_refused_with_both_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_tiny_model(tmp_path)
    free = psutil.virtual_memory()._replace(available=2**27)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)

    with pytest.raises(
        InvalidInputError, match=r"needs 0\.2 GiB of memory on cpu but only 0\.1 GiB"
    ):
        load_model(path, CPU)


def test_the_memory_estimate_is_the_size_of_the_parameters(tmp_path: Path) -> None:
    path = save_tiny_model(tmp_path)

    estimate = memory_needed(weight_files(path), CPU)

    assert estimate == sum(4 * p.numel() for p in load_model(path, CPU).parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason="claims what happens without a GPU")
def test_cuda_without_a_device_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="torch finds no CUDA device"):
        choose_device("cuda")
