"""Embed a search's words, without torch: by the embedder's export, or by a server."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import fsspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import SecretStr
from tokenizers import Tokenizer

from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.embedders import current_embedder, embedder_name
from scopebook.embeddings_server import EmbeddingsServer
from scopebook.errors import UnavailableError
from scopebook.search_ways import QueryVector
from scopebook.settings import settings

#: Of a longer text only so much is looked at; tokenizing megabytes would block the process.
_CHARACTERS: Final = 20_000
_SERVER_TIMEOUT_S: Final = 10.0
#: Queries whose vectors are kept: pages, facets and changed filters ask the same words again.
_KEPT: Final = 512
#: For so long it is not looked up again which embedder is in use.
_LOOKED_UP_FOR_S: Final = 1.0
_loading = threading.Lock()


@dataclass(frozen=True)
class ExportedEmbedder:
    """An export in memory; a call embeds one text and may run in several threads at once."""

    session: Any
    tokenizer: Tokenizer
    prompt: str

    def __call__(self, text: str) -> list[float]:
        """Return the text's vector, of unit length; a long text is cut at the model's limit."""
        encoded = self.tokenizer.encode(self.prompt + text[:_CHARACTERS])
        ids = np.asarray([encoded.ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        vector = self.session.run(None, inputs)[0][0].astype(np.float64)
        return list(map(float, vector / max(float(np.linalg.norm(vector)), 1e-12)))


def load_export(artifact: str) -> ExportedEmbedder:
    """Read an export from a folder or URL."""
    folder = _local_copy(artifact)
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        # More threads gain nothing on one short text, and spin when the cores are busy.
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # three libraries, each with errors of its own, read files here
        raise UnavailableError(
            f"The embedder's export in {artifact} cannot be read ({type(error).__name__}); "
            "delete that folder, and the next job that embeds labels writes it anew."
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest["max_tokens"])
    return ExportedEmbedder(session, tokenizer, manifest["query_prompt"])


def _local_copy(artifact: str) -> Path:
    """Return the folder, fetched once into the data folder where it lies elsewhere."""
    files, path = fsspec.core.url_to_fs(artifact)
    if "file" in (files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)):
        return Path(path)
    target = settings().data_dir / "cache" / "embedders" / Path(path).name
    if not (target / "manifest.json").exists():
        target.mkdir(parents=True, exist_ok=True)
        names = [Path(name).name for name in files.ls(path, detail=False)]
        for name in sorted(names, key=lambda name: name == "manifest.json"):
            files.get(f"{path}/{name}", str(target / name))
    return target


@cache
def _loaded(artifact: str) -> ExportedEmbedder:
    return load_export(artifact)


@lru_cache(maxsize=_KEPT)
def _embed_here(artifact: str, text: str) -> NDArray[np.float64]:
    """Return a vector that is kept: as an array, a quarter of what its numbers take as objects."""
    with _loading:  # two first queries must not read 90 MB twice
        embed = _loaded(artifact)
    return np.asarray(embed(text))


@cache
def _server(url: str, model: str | None, api_key: SecretStr | None) -> EmbeddingsServer:
    return EmbeddingsServer(url, model=model, api_key=api_key, timeout_s=_SERVER_TIMEOUT_S)


@dataclass(frozen=True)
class _InUse:
    """The embedder in use, as it was looked up at a moment of the monotonic clock."""

    embedder_id: int
    artifact: str
    dimension: int
    name: str
    at: float

    def holds(self) -> bool:
        """Tell whether it need not be looked up again."""
        fresh = time.monotonic() - self.at < _LOOKED_UP_FOR_S
        return fresh and self.name == embedder_name(settings())


def query_embedder(sessions: Sessions) -> Callable[[str], QueryVector | None]:
    """Return the function that embeds queries with the settings' embedder.

    It looks up the embedder from time to time, so that one that is exported later is found, and
    returns None while there is none. Models are loaded on first use and kept.
    """
    in_use: _InUse | None = None

    def embed(text: str) -> QueryVector | None:
        nonlocal in_use
        if (known := in_use) is None or not known.holds():
            known = in_use = _look_up(sessions)
        if known is None:
            return None
        chosen = settings()
        if chosen.embeddings_url is None:
            return QueryVector(known.embedder_id, _embed_here(known.artifact, text).tolist())
        server = _server(chosen.embeddings_url, chosen.embeddings_model, chosen.embeddings_api_key)
        [vector] = server.embed([text[:_CHARACTERS]], dimension=known.dimension)
        return QueryVector(known.embedder_id, vector)

    return embed


def _look_up(sessions: Sessions) -> _InUse | None:
    # It commits: a rollback lets psycopg forget all statements that this connection has prepared.
    with unit_of_work(sessions) as session:
        found = current_embedder(session, settings())
    if found is None:
        return None
    artifact = str(found.artifact)
    return _InUse(found.id, artifact, found.dimension, found.name, time.monotonic())
