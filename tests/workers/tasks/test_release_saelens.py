"""Registering SAEs in SAELens's format: as complete as Qwen-Scope's, or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import func, select
from torch.testing import assert_close

from saelens_files import saelens_config, saelens_tensors, write_layers, write_saelens
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Feature, Model, Release, Sae
from scopebook.feature_page import read_feature
from scopebook.job_reports import JobReport, read_job
from scopebook.jobs import ADD_RELEASE
from scopebook.registration import request_release
from scopebook.release_names import FeatureId
from scopebook.releases import list_releases
from scopebook.settings import settings
from scopebook_workers.claims import work_off
from scopebook_workers.sae.weights import read_converted
from tiny_models import save_tiny_model

D_SAE, D_MODEL = 48, 32


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint with four layers of width 32."""
    return save_tiny_model(tmp_path / "models" / "Tiny-Model", "qwen3")


def add(
    factory: Sessions, source: Path, model: Path | None, layers: list[int] | None = None
) -> JobReport:
    """Ask for the SAEs and do what is due."""
    with unit_of_work(factory) as session:
        job_id = request_release(
            session, str(source), model=str(model) if model else None, layers=layers
        ).id
    work_off(ADD_RELEASE)
    with unit_of_work(factory) as session:
        return read_job(session, job_id)


def count(factory: Sessions, *tables: type) -> list[int]:
    with unit_of_work(factory) as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


@pytest.mark.parametrize(
    ("architecture", "more", "changes", "kind", "k"),
    [
        ("standard", {}, {}, "relu", None),
        ("jumprelu", {"threshold": torch.ones(D_SAE)}, {}, "threshold", None),
        ("topk", {}, {"k": 4}, "topk", 4),
        ("batchtopk", {"topk_threshold": torch.tensor(1.0)}, {}, "threshold", None),
    ],
)
def test_saes_of_every_kind_are_registered_with_what_their_weights_tell(
    worker: Sessions,
    tmp_path: Path,
    model: Path,
    architecture: str,
    more: dict[str, torch.Tensor],
    changes: dict[str, Any],
    kind: str,
    k: int | None,
) -> None:
    tensors = saelens_tensors(D_MODEL, D_SAE, **more)
    write_saelens(
        tmp_path / "My_SAEs" / "layer_2",
        saelens_config(D_MODEL, D_SAE, 2, architecture=architecture, **changes),
        tensors,
    )

    job = add(worker, tmp_path / "My_SAEs", model)

    assert (job.state, job.error) == ("done", None)
    assert count(worker, Model, Release, Sae, Feature) == [1, 1, 1, D_SAE]
    with unit_of_work(worker) as session:
        found = read_feature(session, FeatureId("Tiny-Model", 2, "my_saes", 17))
        [release] = list_releases(session)
        sae = session.scalars(select(Sae)).one()
        artifact, held = Path(sae.artifact), (sae.kind, sae.k)
    assert found.decoder_norm == pytest.approx(float(tensors["W_dec"][17].norm()), rel=1e-5)
    assert (release.name, release.width, release.k) == ("My_SAEs", D_SAE, k)
    assert held == (kind, k)
    assert [layer.kind for layer in release.saes] == [kind]
    assert_close(read_converted(artifact).w_dec, tensors["W_dec"])


def test_a_layer_is_added_to_those_that_are_there(
    worker: Sessions, tmp_path: Path, model: Path
) -> None:
    source = write_layers(tmp_path / "set", [1, 2], D_MODEL, D_SAE)
    add(worker, source, model, [1])

    job = add(worker, source, model)

    assert (job.state, job.error) == ("done", None)
    assert count(worker, Release, Sae, Feature) == [1, 2, 2 * D_SAE]


def test_without_a_known_model_it_has_to_be_given(
    worker: Sessions, tmp_path: Path, model: Path
) -> None:
    source = write_layers(tmp_path / "set", [1], D_MODEL, D_SAE, model_name="gpt2-small")

    job = add(worker, source, None)

    assert job.error is not None
    assert "does not say which model its SAEs were trained on: give it with --model" in job.error
    assert count(worker, Model, Release, Sae) == [0, 0, 0]


@pytest.mark.parametrize(
    ("layer", "changes", "more", "said"),
    [
        (1, {"d_in": 16}, {}, "width 16 (its cfg.json says) but the model's is 32"),
        (9, {}, {}, "is for layer 9 but the model has layers 0 to 3"),
        (1, {"architecture": "gated"}, {}, "the architecture 'gated' is not read"),
        (1, {"d_sae": 64}, {}, "W_enc has the shape (32, 48), expected (32, 64)"),
        (1, {}, {"b_dec": torch.full((D_MODEL,), float("nan"))}, "b_dec holds NaN or infinity"),
        (1, {}, {"x": torch.zeros(3)}, "has the tensor 'x'"),
    ],
)
def test_what_is_refused_changes_nothing(
    worker: Sessions,
    tmp_path: Path,
    model: Path,
    layer: int,
    changes: dict[str, Any],
    more: dict[str, torch.Tensor],
    said: str,
) -> None:
    write_saelens(
        tmp_path / "set",
        {**saelens_config(D_MODEL, D_SAE, layer), **changes},
        saelens_tensors(D_MODEL, D_SAE, **more),
    )

    job = add(worker, tmp_path / "set", model)

    assert job.state == "failed"
    assert said in (job.error or "")
    assert str(tmp_path / "set") in (job.error or "")
    assert count(worker, Model, Release, Sae, Feature) == [0, 0, 0, 0]
    assert list(settings().data_dir.rglob("saes/**/*.safetensors*")) == []


def test_a_changed_config_makes_another_sae_that_is_refused(
    worker: Sessions, tmp_path: Path, model: Path
) -> None:
    source = write_layers(tmp_path / "set", [1], D_MODEL, D_SAE)
    add(worker, source, model)
    write_layers(source, [1], D_MODEL, D_SAE, apply_b_dec_to_input=False)

    job = add(worker, source, model)

    assert "registered from another file" in (job.error or "")


def test_a_model_of_the_same_name_with_other_weights_is_refused(
    worker: Sessions, tmp_path: Path, model: Path
) -> None:
    source = write_layers(tmp_path / "set", [1, 2], D_MODEL, D_SAE)
    add(worker, source, model, [1])
    other = save_tiny_model(tmp_path / "others" / "Tiny-Model", "qwen3")
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-2] ^= 0x40
    weights.write_bytes(content)

    job = add(worker, source, other, [2])

    assert "A model Tiny-Model is registered with other weights" in (job.error or "")
    assert count(worker, Sae) == [1]
