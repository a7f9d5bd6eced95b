"""Registering Qwen's own releases, from a server that speaks the hub's protocol."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

from hub_server import Hub, hub_server
from qwen_scope_files import write_release
from running import run
from saelens_files import write_layers
from tiny_models import VOCABULARY, tiny_tokenizer

RELEASE = "Qwen/SAE-Res-Qwen3.5-2B-Base-W32K-L0_50"
MODEL = "Qwen/Qwen3.5-2B-Base"
D_MODEL = 32


def save_deep_model(folder: Path) -> None:
    """Write a random Qwen3.5 that is narrow but as deep as layer 12 needs."""
    torch.manual_seed(0)
    config = Qwen3_5TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=D_MODEL,
        intermediate_size=32,
        num_hidden_layers=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
    )
    Qwen3_5ForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with a release of the published names and width, and its model."""
    root = tmp_path_factory.mktemp("hub")
    write_release(root / RELEASE, [11, 12], d_sae=32768, d_model=D_MODEL)
    save_deep_model(root / MODEL)
    with hub_server(root) as served:
        yield served


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data folder that the database's own user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="scopebook-hub-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def online(hub: Hub, data_dir: Path, **more: str) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(data_dir / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        **more,
    }


def test_a_published_release_is_downloaded_registered_and_found(hub: Hub, data_dir: Path) -> None:
    token = "hf_secretsecretsecret"

    added = run(
        data_dir, "add", RELEASE, "--layers", "12", "--json",
        **online(hub, data_dir, HF_TOKEN=token),
    )  # fmt: skip
    found = run(data_dir, "feature", f"{MODEL}/12-res-w32k-l0_50/6159", "--json")

    assert added.returncode == 0, added.stderr
    report = json.loads(added.stdout)
    assert (report["name"], report["model"], report["k"]) == (RELEASE, MODEL, 50)
    assert [(sae["layer"], sae["features"]) for sae in report["saes"]] == [(12, 32768)]
    assert report["revision"] == hub.commit(RELEASE)
    assert "interfere with model capabilities" in report["caution"]
    assert not any("layer11" in request.path for request in hub.seen)
    feature = json.loads(found.stdout)
    assert len(feature["promoted"]) == len(feature["neighbours"]) == 10
    logs = "".join(path.read_text() for path in (data_dir / "logs").iterdir())
    assert token not in added.stdout + added.stderr + logs


def test_a_hub_that_does_not_answer_is_one_sentence_and_changes_nothing(data_dir: Path) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}

    added = run(
        data_dir, "add", RELEASE, "--layers", "12", HF_HOME=str(data_dir / "hub"), **nowhere
    )
    listed = run(data_dir, "search", "anything", "--json")

    assert added.returncode == 1
    assert "http://127.0.0.1:9" in added.stderr.splitlines()[-1]
    assert "Traceback" not in added.stderr
    assert json.loads(listed.stdout)["items"] == []


def test_saes_of_saelens_are_downloaded_registered_and_found(hub: Hub, data_dir: Path) -> None:
    write_layers(hub.root / "someone" / "relu-saes", [3, 4], D_MODEL, 64, model_name=MODEL)

    added = run(
        data_dir, "add", "someone/relu-saes", "--layers", "4", "--json", **online(hub, data_dir)
    )
    found = run(data_dir, "feature", f"{MODEL}/4-relu-saes/63", "--json")

    assert added.returncode == 0, added.stderr
    report = json.loads(added.stdout)
    assert (report["name"], report["model"], report["k"]) == ("someone/relu-saes", MODEL, None)
    assert [(sae["layer"], sae["kind"]) for sae in report["saes"]] == [(4, "relu")]
    assert len(json.loads(found.stdout)["promoted"]) == 10


def test_a_dry_run_of_a_saelens_folder_starts_nothing(tmp_path: Path) -> None:
    folder = write_layers(tmp_path / "mine", [3, 4], D_MODEL, 64, model_name="gpt2-small")

    planned = run(tmp_path / "data", "add", str(folder), "--dry-run", "--json")
    refused = run(tmp_path / "data", "add", str(folder))

    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert [file["layer"] for file in plan["files"]] == [3, 4]
    assert (plan["base_model"], plan["exact"]) == (None, True)
    assert refused.returncode == 2
    assert "give it with --model" in refused.stderr.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_a_dry_run_states_memory_and_disk_and_starts_nothing(tmp_path: Path) -> None:
    done = run(tmp_path / "data", "add", RELEASE, "--layers", "12", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "about 537 MB to download" in done.stderr
    assert "of memory to run" in done.stderr
    assert not (tmp_path / "data").exists()
