"""What stays in memory, and what goes when there is no room."""

from pathlib import Path

import pytest
import torch
from tests.qwen_scope_files import qwen_scope_entries
from tests.tiny_models import save_tiny_model

from scopebook.errors import CheckpointError
from scopebook_workers.inference.residents import Residents, size_of
from scopebook_workers.sae.weights import convert


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("saes")
    return [_sae(folder, number, 32) for number in range(3)]


def _sae(folder: Path, number: int, d_model: int) -> str:
    source = folder / f"layer{number}.sae.pt"
    torch.save(qwen_scope_entries(48, d_model, seed=number), source)
    target = folder / f"layer{number}.safetensors"
    return str(convert(source, target, layer=number, k=5, d_sae=48).path)


def test_the_sae_used_least_recently_goes_first(model: Path, artifacts: list[str]) -> None:
    residents = Residents(torch.device("cpu"), memory_bytes=10_000)
    residents.model(str(model))
    size = size_of(residents.saes({0: artifacts[0]})[0])
    residents = Residents(torch.device("cpu"), memory_bytes=2 * size)
    residents.model(str(model))

    for number in (0, 1, 0, 2):
        residents.saes({number: artifacts[number]})

    assert residents.held == [artifacts[0], artifacts[2]]


def test_all_saes_of_one_request_are_there_at_once(model: Path, artifacts: list[str]) -> None:
    residents = Residents(torch.device("cpu"), memory_bytes=1)
    residents.model(str(model))

    found = residents.saes(dict(enumerate(artifacts)))

    assert list(found) == [0, 1, 2]
    assert residents.held == artifacts


def test_another_model_takes_the_place_of_the_first(
    model: Path, artifacts: list[str], tmp_path: Path
) -> None:
    residents = Residents(torch.device("cpu"))
    first = residents.model(str(model))
    residents.saes({0: artifacts[0]})

    second = residents.model(str(save_tiny_model(tmp_path)))

    assert second is not first
    assert residents.held == []
    assert residents.loaded == str(tmp_path)


def test_an_sae_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    residents = Residents(torch.device("cpu"))
    residents.model(str(model))

    with pytest.raises(CheckpointError, match="reads a residual stream of width 16"):
        residents.saes({0: _sae(tmp_path, 0, 16)})
    assert residents.held == []
