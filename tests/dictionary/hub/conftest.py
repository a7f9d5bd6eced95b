import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, file_download

import hub_server
from qwen_scope_files import write_layer, write_release
from scopebook.hub import Hub

RELEASE = "Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"
MODEL = "Qwen/Qwen3.5-2B-Base"


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of the published width (but a model width of 4) and its model."""
    root = tmp_path_factory.mktemp("repositories")
    write_release(root / RELEASE, [11, 12], d_sae=32768, d_model=4)
    model = root / MODEL
    model.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors", "README.md"):
        (model / name).write_bytes(b"{}")
    for name in ("pytorch_model.bin", "modeling_custom.py", "model.gguf"):
        (model / name).write_bytes(b"not wanted")
    return root


@pytest.fixture
def served(repositories: Path, tmp_path: Path) -> Iterator[hub_server.Hub]:
    """The hub, with repositories that a test may change."""
    shutil.copytree(repositories, tmp_path / "repositories")
    with hub_server.hub_server(tmp_path / "repositories") as hub:
        yield hub


@pytest.fixture
def hub(served: hub_server.Hub, tmp_path: Path) -> Hub:
    """How the code under test sees that hub: with an empty cache."""
    return Hub(endpoint=served.url, cache_dir=tmp_path / "cache")


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let huggingface_hub ask nobody but the server here, and retry without waiting."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda _seconds: None))
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write to disk every 16 kB, so that a small file can break off in its middle."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 16_384)


@pytest.fixture
def add_layer(served: hub_server.Hub) -> Callable[[int], Path]:
    """Publish one more layer: a new commit."""

    def add(layer: int) -> Path:
        return write_layer(served.root / RELEASE / f"layer{layer}.sae.pt", 32768, 4, seed=layer)

    return add
