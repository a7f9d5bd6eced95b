"""Control vectors of other tools: registered as features that never fire, kept as presets."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file
from sqlalchemy import select
from tests.workers.tasks.test_preset_commands import refused
from typer.testing import CliRunner, Result

from scopebook.commands import preset_runs, preset_vectors, presets
from scopebook.db.sessions import Sessions
from scopebook.db.tables import Feature, Model, Sae
from scopebook.errors import CheckpointError, InvalidInputError
from scopebook.jobs import ADD_RELEASE, EXPORT_PRESET
from scopebook_workers.claims import work_off
from scopebook_workers.sae.control_vectors import read_control_vector
from scopebook_workers.sae.encode import active_features
from scopebook_workers.sae.weights import read_converted
from tiny_models import save_tiny_model

D_MODEL = 32
Command = Callable[..., Result]


def write_vectors(path: Path, vectors: Mapping[str, Any]) -> Path:
    """Write a file as repeng does: a float32 tensor for each layer."""
    writer = GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "qwen3")
    writer.add_uint32("controlvector.layer_count", len(vectors))
    for name, vector in vectors.items():
        writer.add_tensor(name, np.asarray(vector, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def happy(layer: int) -> np.ndarray:
    return np.random.default_rng(layer).normal(size=D_MODEL).astype(np.float32)


@pytest.fixture
def command(worker: Sessions, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return `scopebook preset`, whose jobs are done in this process when it waits for them."""

    @contextmanager
    def here(*, work: bool = False) -> Iterator[Sessions]:
        yield worker

    watch = preset_runs.watch_job

    def work_and_watch(factory: Sessions, job_id: int) -> Any:
        for kind in (ADD_RELEASE, EXPORT_PRESET):
            work_off(kind)
        return watch(factory, job_id)

    for module in (presets, preset_runs, preset_vectors):
        monkeypatch.setattr(module, "dictionary", here)
    for module in (preset_runs, preset_vectors):
        monkeypatch.setattr(module, "watch_job", work_and_watch)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(presets.presets, arguments)

    return run


def test_a_control_vector_becomes_a_preset_that_adds_it_and_leaves_as_it_came(
    command: Command, worker: Sessions, tmp_path: Path
) -> None:
    model = save_tiny_model(tmp_path / "models" / "Tiny-Model")
    file = write_vectors(tmp_path / "happy.gguf", {f"direction.{n}": happy(n) for n in (1, 3)})

    done = command("import", str(file), "--model", str(model), "--name", "glad")

    assert done.exit_code == 0, done.output
    document = json.loads(command("show", "glad", "--json").stdout)
    assert [one["id"] for one in document["interventions"]] == [
        "Tiny-Model/1-happy/0",
        "Tiny-Model/3-happy/0",
    ]
    assert {one["group"] for one in document["interventions"]} == {"happy"}
    with worker() as session:
        saes = session.scalars(select(Sae).order_by(Sae.layer)).all()
        lengths = session.scalars(select(Feature.decoder_norm).order_by(Feature.id)).all()
        assert session.scalars(select(Model.name)).all() == ["Tiny-Model"]
    assert lengths == pytest.approx([np.linalg.norm(happy(n)) for n in (1, 3)], rel=1e-5)
    out = command("export", "glad", "--target", "transformers", "--out", str(tmp_path / "out"))
    assert out.exit_code == 0, out.output
    held = load_file(tmp_path / "out" / "glad-v1-transformers" / "preset.safetensors")
    for layer, sae in zip((1, 3), saes, strict=True):
        assert torch.equal(held[f"layers.{layer}"], torch.from_numpy(happy(layer)))
        read = read_converted(Path(sae.artifact))
        assert len(active_features(torch.randn(50, D_MODEL) * 100, read)) == 0


def test_the_same_file_again_takes_the_release_that_is_there(
    command: Command, worker: Sessions, tmp_path: Path
) -> None:
    model = save_tiny_model(tmp_path / "models" / "Tiny-Model")
    file = write_vectors(tmp_path / "happy.gguf", {"direction.1": happy(1)})

    for name in ("glad", "merry"):
        made = command("import", str(file), "--model", str(model), "--name", name)
        assert made.exit_code == 0, made.output

    with worker() as session:
        assert len(session.scalars(select(Sae)).all()) == 1


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"blk.1": happy(1)}, "has no tensor direction.N"),
        ({"direction.1.a": happy(1)}, "several parts of one layer must be summed"),
        ({"direction.1": happy(1), "direction.2": happy(1)[:8]}, "holds tensors of the shapes"),
        ({"direction.1": happy(1) * np.nan}, "expected one vector of finite numbers"),
        ({"direction.1": happy(1).reshape(4, 8)}, "expected one vector of finite numbers"),
    ],
)
def test_a_file_that_is_no_control_vector_is_refused(
    tmp_path: Path, tensors: dict[str, Any], sentence: str
) -> None:
    file = write_vectors(tmp_path / "x.gguf", tensors)

    with pytest.raises(CheckpointError, match=sentence):
        read_control_vector(file)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 64, b"PK\x03\x04" * 9])
def test_bytes_that_are_no_gguf_are_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gguf").write_bytes(content)

    with pytest.raises(CheckpointError, match="is no GGUF file that can be read"):
        read_control_vector(tmp_path / "x.gguf")


def test_a_control_vector_needs_a_model_and_a_file(command: Command, tmp_path: Path) -> None:
    file = write_vectors(tmp_path / "happy.gguf", {"direction.1": happy(1)})

    refused(command("import", str(file)), InvalidInputError, "name it with --model")
    missing = command("import", str(tmp_path / "no.gguf"), "--model", "m")
    refused(missing, InvalidInputError, "There is no file")
