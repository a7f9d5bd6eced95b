"""Publish the embedder's export for the API, and embed the labels in force."""

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import fsspec
import torch
from sqlalchemy.orm import Session

from scopebook.db.sessions import sessions, unit_of_work
from scopebook.embedders import (
    count_without_vector,
    current_embedder,
    embedder_name,
    register_embedder,
    server_sha256,
    store_vectors,
    texts_without_vector,
)
from scopebook.embeddings_server import EmbeddingsServer
from scopebook.jobs import EMBED_LABELS, EXPORT_EMBEDDER
from scopebook.settings import settings
from scopebook.steps import Claim
from scopebook.vector_index import ensure_index, make_room
from scopebook_workers.claims import Finish, Progress, step_task
from scopebook_workers.labeling.embedders import LocalEmbedder, load_embedder
from scopebook_workers.labeling.onnx_export import write_export

#: Texts of one transaction.
BATCH = 512
_PROBE = "a label"


@cache
def _embedder(name: str) -> LocalEmbedder:
    device = settings().device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_embedder(name, device=device)


@cache
def _server() -> EmbeddingsServer:
    chosen = settings()
    return EmbeddingsServer(
        str(chosen.embeddings_url),
        model=chosen.embeddings_model,
        api_key=chosen.embeddings_api_key,
    )


@step_task(EXPORT_EMBEDDER)
def export_embedder(claim: Claim, progress: Progress) -> Finish:
    """Make the settings' embedder ready; a second run finds the first one's export."""
    progress(0, 1, "embedder")
    return _prepare()


def _prepare() -> Finish:
    """Return the function that registers the embedder, after its export is there."""
    if settings().embeddings_url is not None:
        [vector] = _server().embed([_PROBE])
        return _registration(server_sha256(settings()), len(vector), None)
    embedder = load_embedder(settings().embedder)  # on the CPU, where the API will run it
    artifact = publish_export(embedder)
    return _registration(embedder.sha256, embedder.dimension, artifact)


def _registration(sha256: str, dimension: int, artifact: str | None) -> Finish:
    def write(session: Session) -> None:
        register_embedder(
            session,
            name=embedder_name(settings()),
            sha256=sha256,
            dimension=dimension,
            artifact=artifact,
        )

    return write


def publish_export(embedder: LocalEmbedder) -> str:
    """Write the export unless it is there, and return where; the manifest is written last."""
    target = f"{settings().artifacts}/embedders/{embedder.sha256[:16]}"
    files, path = fsspec.core.url_to_fs(target)
    if files.exists(f"{path}/manifest.json"):
        return target
    with tempfile.TemporaryDirectory(prefix="scopebook-embedder-") as folder:
        write_export(embedder, Path(folder))
        files.makedirs(path, exist_ok=True)
        names = sorted(file.name for file in Path(folder).iterdir() if file.name != "manifest.json")
        for name in [*names, "manifest.json"]:
            # Never half a file under its own name, also when two workers write at once.
            part = f"{path}/.{Path(folder).name}-{name}"
            files.put_file(f"{folder}/{name}", part)
            files.mv(part, f"{path}/{name}")
    return target


@step_task(EMBED_LABELS)
def embed_labels(claim: Claim, progress: Progress) -> Finish:
    """Give the current labels of the SAEs their vectors, batch by batch.

    Every batch stands in a transaction of its own, so a lost worker's successor goes on.
    """
    sae_ids: list[int] = claim.parameters["sae_ids"]
    embedder_id, total = _ready(sae_ids)
    embed = embed_function()
    with unit_of_work(sessions()) as session:
        make_room(session, embedder_id, total)
    done = 0
    while True:
        progress(done, total, "labels")
        with sessions()() as session:
            texts = texts_without_vector(session, embedder_id, sae_ids, limit=BATCH)
        if not texts:
            break
        vectors = embed(texts)
        with unit_of_work(sessions()) as session:
            progress.hold(session)
            store_vectors(session, embedder_id, sae_ids, dict(zip(texts, vectors, strict=True)))
        done = min(done + len(texts), total)
    # Not in the step's last transaction: of a million vectors it takes minutes.
    with unit_of_work(sessions()) as session:
        ensure_index(session, embedder_id)
    return lambda _: None


def _ready(sae_ids: Sequence[int]) -> tuple[int, int]:
    """Return the embedder's id, made ready first where it is not, and how many texts wait."""
    with sessions()() as session:
        known = current_embedder(session, settings())
    if known is None or not _is_there(known.artifact):
        register = _prepare()
        with unit_of_work(sessions()) as session:
            register(session)
    with sessions()() as session:
        embedder = current_embedder(session, settings())
        assert embedder is not None
        return embedder.id, count_without_vector(session, embedder.id, sae_ids)


def _is_there(artifact: str | None) -> bool:
    """Tell whether an export is whole; a server has none. A deleted one is written anew."""
    if artifact is None:
        return True
    files, path = fsspec.core.url_to_fs(artifact)
    return bool(files.exists(f"{path}/manifest.json"))


def embed_function() -> Callable[[Sequence[str]], list[list[float]]]:
    """Return what gives texts their unit vectors, by the settings' embedder."""
    if settings().embeddings_url is not None:
        return _server().embed
    embedder = _embedder(settings().embedder)
    return lambda texts: embedder.embed(texts).tolist()
