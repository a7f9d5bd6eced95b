import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scopebook.errors import CheckpointError
from scopebook_workers.qwen.weights_hash import weights_sha256
from tiny_models import save_tiny_model


def write(folder: Path, tensors: dict[str, torch.Tensor], name: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name, {"format": "pt", "folder": folder.name})
    return folder


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"layer{n}": torch.randn(700_000, generator=generator) for n in range(4)}


def test_a_copy_of_a_model_has_its_hash(tmp_path: Path) -> None:
    assert weights_sha256(write(tmp_path / "a", weights())) == weights_sha256(
        write(tmp_path / "b", weights())
    )


@pytest.mark.parametrize("name", [f"layer{n}" for n in range(4)])
def test_a_change_of_any_tensor_is_seen(tmp_path: Path, name: str) -> None:
    changed = weights()
    changed[name] = changed[name] * 1.01

    assert weights_sha256(write(tmp_path / "a", weights())) != weights_sha256(
        write(tmp_path / "b", changed)
    )


@pytest.mark.parametrize("place", [0, -1])
def test_a_change_at_either_end_is_seen(tmp_path: Path, place: int) -> None:
    folder = write(tmp_path / "a", weights())
    before = weights_sha256(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    at = 8 + int.from_bytes(content[:8], "little") if place == 0 else len(content) - 1
    content[at] ^= 1
    (folder / "model.safetensors").write_bytes(content)

    assert weights_sha256(folder) != before


def test_names_and_shapes_count(tmp_path: Path) -> None:
    tensors = weights()
    renamed = {f"x{name}": tensor for name, tensor in tensors.items()}
    reshaped = {name: tensor.view(7, -1) for name, tensor in tensors.items()}

    hashes = {
        weights_sha256(write(tmp_path / str(number), held))
        for number, held in enumerate((tensors, renamed, reshaped))
    }

    assert len(hashes) == 3


def test_a_large_model_takes_little_time(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    for number in range(4):
        write(
            folder,
            {f"{number}.{n}": torch.zeros(2_000_000) for n in range(10)},
            f"model-{number}.safetensors",
        )
    began = time.monotonic()

    weights_sha256(folder)

    assert time.monotonic() - began < 5


def test_a_real_model_is_hashed_and_a_cut_one_refused(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "model")
    assert len(weights_sha256(folder)) == 64
    file = folder / "model.safetensors"
    held = load_file(file)
    assert len(held) > 10
    file.write_bytes(file.read_bytes()[:100])

    with pytest.raises(CheckpointError, match="is cut off or no safetensors file"):
        weights_sha256(folder)
