"""Registering a release: checked against its model, once, or not at all."""

from pathlib import Path

import pytest
import torch
from sqlalchemy import func, select
from torch.testing import assert_close

from qwen_scope_files import write_layer, write_release
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Feature, Model, Release, Sae
from scopebook.feature_page import read_feature
from scopebook.job_reports import JobReport, read_job
from scopebook.jobs import ADD_RELEASE
from scopebook.packing import unpack_pairs
from scopebook.registration import request_release
from scopebook.release_names import FeatureId
from scopebook_workers.claims import work_off
from scopebook_workers.sae.weights import read_converted, read_qwen_scope
from tiny_models import save_tiny_model, tiny_model

NAME = "SAE-Res-Tiny-Model-W1K-L0_4"
WIDTH, D_MODEL = 1024, 32


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint folder with the name that the release's name tells."""
    return save_tiny_model(tmp_path / "models" / "Tiny-Model", "qwen3_5")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release's folder with the layers 1 and 2."""
    return write_release(tmp_path / "releases" / NAME, [1, 2], d_sae=WIDTH, d_model=D_MODEL)


def add(
    factory: Sessions, release: Path, model: Path, layers: list[int] | None = None
) -> JobReport:
    """Ask for the release and do what is due."""
    with unit_of_work(factory) as session:
        job_id = request_release(session, str(release), model=str(model), layers=layers).id
    work_off(ADD_RELEASE)
    with unit_of_work(factory) as session:
        return read_job(session, job_id)


def count(factory: Sessions, *tables: type) -> list[int]:
    with unit_of_work(factory) as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def test_a_release_is_registered_with_what_its_weights_tell(
    worker: Sessions, release: Path, model: Path
) -> None:
    job = add(worker, release, model)

    with unit_of_work(worker) as session:
        found = read_feature(session, FeatureId("Tiny-Model", 2, "res-w1k-l0_4", 17))
        artifact = session.scalar(select(Sae.artifact).where(Sae.layer == 2))
        promoted = session.scalars(select(Feature.promoted).where(Feature.index == 17)).all()[-1]
    assert (job.state, job.error) == ("done", None)
    assert count(worker, Model, Release, Sae, Feature) == [1, 1, 2, 2048]
    assert found.caution is not None
    assert "interfere with model capabilities" in found.caution
    sae = read_qwen_scope(release / "layer2.sae.pt", k=4, d_sae=WIDTH)
    assert found.decoder_norm == pytest.approx(float(sae.w_dec[17].norm()))
    assert artifact is not None
    assert_close(read_converted(Path(artifact)).w_dec, sae.w_dec)
    assert unpack_pairs(promoted)[0][0] == plainly_promoted(sae.w_dec[17])


def plainly_promoted(direction: torch.Tensor) -> int:
    """Return the token that the direction promotes most, by the model's own norm and head."""
    model = tiny_model("qwen3_5")
    with torch.no_grad():
        logits = model.lm_head(model.get_decoder().norm(direction / direction.norm()))
    return int(logits[: len(logits) - 10].argmax())


def test_a_second_layer_is_added_to_the_first(worker: Sessions, release: Path, model: Path) -> None:
    add(worker, release, model, [1])

    job = add(worker, release, model, [1, 2])

    assert job.state == "done"
    assert count(worker, Model, Release, Sae, Feature) == [1, 1, 2, 2048]


def test_an_sae_of_another_width_than_its_name_changes_nothing(
    worker: Sessions, release: Path, model: Path
) -> None:
    write_layer(release / "layer2.sae.pt", d_sae=512, d_model=D_MODEL)

    job = add(worker, release, model)

    assert job.state == "failed"
    assert "512 features but the release's name says 1024" in (job.error or "")
    assert count(worker, Model, Release, Sae, Feature) == [0, 0, 0, 0]


def test_an_sae_that_does_not_fit_the_model_changes_nothing(
    worker: Sessions, release: Path, model: Path
) -> None:
    for layer in (1, 2):
        write_layer(release / f"layer{layer}.sae.pt", d_sae=WIDTH, d_model=16)

    job = add(worker, release, model)

    assert job.state == "failed"
    assert "16" in (job.error or "")
    assert "32" in (job.error or "")
    assert count(worker, Model, Release, Sae, Feature) == [0, 0, 0, 0]


def test_a_layer_deeper_than_the_model_changes_nothing(
    worker: Sessions, release: Path, model: Path
) -> None:
    write_layer(release / "layer9.sae.pt", d_sae=WIDTH, d_model=D_MODEL)

    job = add(worker, release, model)

    assert "the model has layers 0 to 3" in (job.error or "")
    assert count(worker, Release, Sae) == [0, 0]


def test_a_file_with_code_in_it_is_not_run(
    worker: Sessions, release: Path, model: Path, tmp_path: Path
) -> None:
    torch.save({"W_enc": _Dropper(tmp_path / "dropped")}, release / "layer1.sae.pt")

    job = add(worker, release, model, [1])

    assert "Python code" in (job.error or "")
    assert not (tmp_path / "dropped").exists()


class _Dropper:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("layers", "said"), [([7], "7"), ([1, 3], "3")], ids=["only-missing", "one-missing"]
)
def test_a_missing_layer_is_named(
    worker: Sessions, release: Path, model: Path, layers: list[int], said: str
) -> None:
    job = add(worker, release, model, layers)

    assert job.state == "failed"
    assert said in (job.error or "")
    assert count(worker, Release) == [0]


def test_a_folder_without_a_model_is_refused(
    worker: Sessions, release: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    job = add(worker, release, tmp_path / "empty")

    assert str(tmp_path / "empty") in (job.error or "")
    assert count(worker, Model, Release) == [0, 0]


def test_a_refused_file_of_the_same_name_leaves_the_registered_one(
    worker: Sessions, release: Path, model: Path, tmp_path: Path
) -> None:
    add(worker, release, model, [1])
    with unit_of_work(worker) as session:
        artifact = Path(session.scalars(select(Sae.artifact)).one())
    before = artifact.read_bytes()
    write_layer(tmp_path / "other" / NAME / "layer1.sae.pt", d_sae=WIDTH, d_model=D_MODEL, seed=9)

    job = add(worker, tmp_path / "other" / NAME, model, [1])

    assert "registered from another file" in (job.error or "")
    assert artifact.read_bytes() == before
