"""Write an embedder as ONNX, so that the API embeds queries without torch."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from scopebook_workers.labeling.embedders import LocalEmbedder, unavailable_export

log = logging.getLogger(__name__)

MIN_COSINE: Final = 0.9999
#: Read by both before an export is published: scripts, code, a blank, and one beyond the limit.
PROBES: Final = (
    "legal text about the licence of a program",
    "die Bedeutung eines Wortes im Satz",
    "une phrase en français, avec des accents",
    "中文系统的文件和设置",
    "日本語のファイルを開く",
    "слова в русском тексте",
    "def read(self, path: str) -> bytes:\n    return b''",
    " ",
    "a text that does not end " * 200,
)


class _SentenceVector(nn.Module):
    """All modules of the model, whatever they are: ids and mask in, one vector per text out."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return (text, dimension)."""
        inputs: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        vector: Tensor = self.model(inputs)["sentence_embedding"]
        return vector


def write_export(embedder: LocalEmbedder, folder: Path) -> None:
    """Write model.onnx, tokenizer.json and manifest.json, after both agree on all probes."""
    model = embedder.model
    folder.mkdir(parents=True, exist_ok=True)
    model.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    encoded = _encode(model, list(PROBES[:2]))
    _export(model, encoded, folder / "model.onnx")
    check_export(embedder, folder)
    manifest = {
        "name": embedder.name,
        "sha256": embedder.sha256,
        "dimension": embedder.dimension,
        "max_tokens": int(model.max_seq_length or 512),
        "pooling": [type(module).__name__ for module in model],
        "query_prompt": _query_prompt(model),
    }
    (folder / "manifest.json").write_text(
        json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )


def _query_prompt(model: SentenceTransformer) -> str:
    return str(model.prompts.get("query") or "")


def _encode(model: SentenceTransformer, texts: list[str]) -> dict[str, Tensor]:
    encoded = model.tokenizer(
        texts,
        padding=True,
        truncation=True,
        max_length=model.max_seq_length or 512,
        return_tensors="pt",
    )
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _export(model: SentenceTransformer, encoded: dict[str, Tensor], path: Path) -> None:
    axes = {0: torch.export.Dim("text"), 1: torch.export.Dim("token")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names of axes and absent torchvision
        torch.onnx.export(
            _SentenceVector(model).eval(),
            (encoded["input_ids"], encoded["attention_mask"]),
            str(path),
            input_names=list(encoded),
            # Not "embedding": a node of the graph has that name.
            output_names=["sentence_vector"],
            dynamic_shapes=dict.fromkeys(encoded, axes),
            dynamo=True,
            external_data=True,
            verbose=False,
        )


def check_export(embedder: LocalEmbedder, folder: Path) -> None:
    """Raise unless the export gives the model's vectors for all probes, alone and together."""
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    expected = embedder.model.encode_query(
        list(PROBES), normalize_embeddings=True, show_progress_bar=False
    )
    prompted = [_query_prompt(embedder.model) + text for text in PROBES]
    together = _run(session, embedder.model, prompted)
    alone = np.concatenate([_run(session, embedder.model, [text]) for text in prompted])
    for vectors in (together, alone):
        cosine = float((vectors * expected).sum(axis=1).min())
        if not cosine > MIN_COSINE:
            raise unavailable_export(embedder.name, cosine)
    log.info("The export of %s agrees with the model on %s texts", embedder.name, len(PROBES))


def _run(session: Any, model: SentenceTransformer, texts: list[str]) -> NDArray[np.float64]:
    inputs = {name: tensor.numpy() for name, tensor in _encode(model, texts).items()}
    vectors: NDArray[np.float64] = session.run(None, inputs)[0].astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
