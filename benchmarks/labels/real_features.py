"""Real features: the demo model and its SAE, run over the demo corpus, as the labeler gets them."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from scopebook.demo import bundle_path
from scopebook_demo.sae import load_sae
from scopebook_workers.labeling.evidence import FeatureEvidence, Firing, Passage
from scopebook_workers.labeling.residual_encoder import ResidualEncoder
from scopebook_workers.qwen.capture import capture
from scopebook_workers.qwen.model import load_model
from scopebook_workers.qwen.tokenizer import cut_texts, load_tokenizer
from scopebook_workers.sae.encode import active_features
from scopebook_workers.sae.weights import SparseAutoencoder

CONTEXT_TOKENS: Final = 256
BATCH_TOKENS: Final = 8_192
#: Examples of a feature: the contexts that fire it most.
EXAMPLES: Final = 40
#: A feature on a larger share of the tokens is too dense to have senses.
DENSE: Final = 0.1


def demo_features(*, tokens: int, layer: int = 1) -> list[FeatureEvidence]:
    """Return the features of a layer with `EXAMPLES` or more firing contexts in so many tokens.

    Documents are spread over the whole corpus; the first token of a context does not count.
    """
    model, sae = _model_and_sae(layer)
    token_ids, passages = _contexts(tokens)
    found: list[NDArray[np.float64]] = []
    for batch in capture(model, [layer], token_ids, batch_tokens=BATCH_TOKENS):
        active = active_features(batch.residuals[layer], sae)
        row = np.repeat(batch.rows, batch.lengths)[active.token.numpy()]
        position = np.concatenate([np.arange(n) for n in batch.lengths])[active.token.numpy()]
        kept = position > 0
        columns = (active.feature.numpy(), row, position, active.value.numpy())
        found.append(np.stack([column[kept].astype(np.float64) for column in columns]))
    return _evidence(np.concatenate(found, axis=1), passages)


def demo_residuals(*, tokens: int, layer: int = 1) -> ResidualEncoder:
    """Return the encoder of the residuals at the tokens where these features fire."""
    model, sae = _model_and_sae(layer)
    token_ids, _ = _contexts(tokens)
    return ResidualEncoder(
        model,
        sae,
        layer=layer,
        name="the demo model",
        tokens_of=lambda wanted: {context: token_ids[context] for context in wanted},
        batch_tokens=BATCH_TOKENS,
    )


@cache
def _model_and_sae(layer: int) -> tuple[PreTrainedModel, SparseAutoencoder]:
    bundle = bundle_path()
    manifest = json.loads((bundle / "bundle.json").read_text())
    release = manifest["releases"][0]
    stored = load_sae(bundle / release["path"] / f"layer{layer}.sae.pt", release["k"])
    sae = SparseAutoencoder(stored.W_enc, stored.b_enc, stored.W_dec.T, stored.b_dec, stored.k)
    return load_model(bundle / manifest["model"]["path"], torch.device("cpu")), sae


@cache
def _contexts(tokens: int) -> tuple[list[NDArray[np.int32]], list[Passage]]:
    """Cut the documents, in an order that mixes their sources, until there are enough tokens."""
    bundle = bundle_path()
    manifest = json.loads((bundle / "bundle.json").read_text())
    lines = (bundle / manifest["corpus"]["path"]).read_text().splitlines()
    documents = sorted((json.loads(line) for line in lines), key=lambda row: str(row["id"]))
    cut = cut_texts(
        load_tokenizer(bundle / manifest["model"]["path"]), [row["text"] for row in documents]
    )
    runs: list[NDArray[np.int32]] = []
    passages: list[Passage] = []
    for number, (document, (ids, spans)) in enumerate(zip(documents, cut, strict=True)):
        for start in range(0, len(ids), CONTEXT_TOKENS):
            if tokens <= 0:
                return runs, passages
            part = slice(start, start + CONTEXT_TOKENS)
            runs.append(ids[part])
            passages.append(_passage(len(passages), number, document, spans[part]))
            tokens -= len(runs[-1])
    return runs, passages


def _passage(
    place: int, number: int, document: dict[str, Any], spans: NDArray[np.int32]
) -> Passage:
    begin, end = int(spans[:, 0].min()), int(spans[:, 1].max())
    return Passage(
        id=place,
        document_id=number,
        document_hash=int.from_bytes(hashlib.sha256(document["text"].encode()).digest()[:8]),
        group=place,
        text=document["text"][begin:end],
        begins=(spans[:, 0] - begin).astype(np.int32),
        ends=(spans[:, 1] - begin).astype(np.int32),
        tag=document["tag"],
        language=document["language"],
    )


def _evidence(rows: NDArray[np.float64], passages: Sequence[Passage]) -> list[FeatureEvidence]:
    """Return each feature's strongest contexts from (feature, context, position, activation)."""
    rows = rows[:, np.lexsort((rows[2], rows[1], rows[0]))]
    borders = np.flatnonzero(np.diff(rows[0])) + 1
    n_tokens = sum(len(passage.begins) for passage in passages)
    evidence = []
    for of_feature in np.split(rows, borders, axis=1):
        parts = np.split(of_feature, np.flatnonzero(np.diff(of_feature[1])) + 1, axis=1)
        if len(parts) < EXAMPLES or of_feature.shape[1] > DENSE * n_tokens:
            continue
        parts = sorted(parts, key=lambda part: -part[3].max())[:EXAMPLES]
        evidence.append(FeatureEvidence(firings=[_firing(part, passages) for part in parts]))
    return evidence


def _firing(part: NDArray[np.float64], passages: Sequence[Passage]) -> Firing:
    positions, activations = part[2].astype(np.int32), part[3].astype(np.float32)
    return Firing(
        passage=passages[int(part[1, 0])],
        peak=int(positions[activations.argmax()]),
        positions=positions,
        activations=activations,
        feature=int(part[0, 0]),
    )
