"""The models that benchmarks may embed windows by: each text once, kept from run to run."""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from scopebook.embeddings_server import EmbeddingsServer
from scopebook.settings import settings
from scopebook.window_embedders import asked_embedder, key_for
from scopebook_workers.labeling.encoding import WindowEncoder
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.server_encoder import ServerEncoder
from scopebook_workers.labeling.window_vectors import Vectors

#: Windows after which the vectors are written to the disk.
_CHUNK = 1_024


class KeptVectors:
    """An encoder that remembers what it has encoded, in a file of the temporary folder.

    A model on a CPU takes minutes for these benchmarks, and the windows are the same each time.
    """

    def __init__(self, encoder: WindowEncoder) -> None:
        self._encoder = encoder
        name = hashlib.sha256(encoder.id.encode()).hexdigest()[:16]
        self._path = Path(tempfile.gettempdir()) / f"scopebook-window-vectors-{name}.npz"
        self._known: dict[bytes, Any] = {}
        #: Windows that were encoded, and the seconds that took.
        self.encoded, self.seconds = 0, 0.0
        if self._path.exists():
            with np.load(self._path, allow_pickle=False) as kept:
                keys = [key.tobytes() for key in kept["keys"]]
                self._known = dict(zip(keys, kept["vectors"], strict=True))

    @property
    def id(self) -> str:
        """The encoder's."""
        return self._encoder.id

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        """Return the encoder's keys."""
        return self._encoder.keys(windows)

    def encode(self, windows: Sequence[Window]) -> Vectors:
        """Return the encoder's vectors."""
        keys = self.keys(windows)
        unknown = {
            key: window for key, window in zip(keys, windows, strict=True) if key not in self._known
        }
        new = list(unknown.items())
        for start in range(0, len(new), _CHUNK):
            part = new[start : start + _CHUNK]
            begun = time.perf_counter()
            vectors = self._encoder.encode([window for _, window in part]).astype(np.float16)
            self.seconds += time.perf_counter() - begun
            self.encoded += len(part)
            self._known.update(zip([key for key, _ in part], vectors, strict=True))
            self._write()
            sys.stderr.write(f"{start + len(part)} of {len(new)} windows\n")
        return np.asarray([self._known[key] for key in keys], np.float32)

    def _write(self) -> None:
        keys = np.asarray([np.frombuffer(key, np.uint8) for key in self._known])
        part = self._path.with_suffix(f".{os.getpid()}.npz")
        np.savez(part, keys=keys, vectors=np.stack(list(self._known.values())))
        part.replace(self._path)


@cache
def encoder_of(name: str) -> KeptVectors:
    """Return the encoder of `--embedder NAME`, where `MODEL@URL` is a model on a server."""
    model, _, url = name.rpartition("@")
    if "://" in url:
        asked = asked_embedder(url, model or None)
        server = EmbeddingsServer(
            asked.name, model=asked.model, api_key=key_for(asked.name, settings())
        )
        return KeptVectors(ServerEncoder(server, model=asked.model))
    # Imported when asked for: they hold torch, and the tiers without a model are quick to start.
    embedders = import_module("scopebook_workers.labeling.embedders")
    encoders = import_module("scopebook_workers.labeling.model_encoder")
    return KeptVectors(encoders.ModelEncoder(embedders.load_embedder(name)))
