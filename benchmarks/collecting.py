"""What the benchmarks of collecting share: text, random models and random SAEs of real shapes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    PreTrainedModel,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from scopebook.demo import bundle_path
from scopebook_workers.qwen.tokenizer import cut_texts, load_tokenizer
from scopebook_workers.sae.firings import Contexts
from scopebook_workers.sae.weights import SparseAutoencoder

CONTEXT_TOKENS = 256
VOCABULARY = 8192
K = 50


def demo_rows(tokens: int) -> list[NDArray[np.int32]]:
    """Return contexts of the demo corpus with so many tokens, the corpus again where it ends."""
    bundle = bundle_path()
    manifest = json.loads((bundle / "bundle.json").read_text())
    lines = (bundle / manifest["corpus"]["path"]).read_text().splitlines()
    tokenizer = load_tokenizer(bundle / manifest["model"]["path"])
    cut = cut_texts(tokenizer, [json.loads(line)["text"] for line in lines])
    rows = [
        token_ids[start : start + CONTEXT_TOKENS]
        for token_ids, _ in cut
        for start in range(0, len(token_ids), CONTEXT_TOKENS)
    ]
    chosen: list[NDArray[np.int32]] = []
    while tokens > 0:
        chosen.append(rows[len(chosen) % len(rows)])
        tokens -= len(chosen[-1])
    return chosen


def contexts_of(rows: list[NDArray[np.int32]]) -> Contexts:
    """Describe the rows as contexts that do not repeat each other."""
    ids = np.arange(1, len(rows) + 1)
    keys = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, len(rows))
    lengths = np.asarray([len(row) for row in rows], dtype=np.int32)
    return Contexts(ids, ids, keys, lengths, np.zeros(len(rows), dtype=np.int32))


def tiny_model() -> PreTrainedModel:
    """Return a random Qwen3 of 6 layers and width 256."""
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=256,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            intermediate_size=768,
            initializer_range=0.1,
        )
    ).eval()


def middle_model() -> PreTrainedModel:
    """Return a random Qwen3.5 of 8 layers and width 768."""
    return _qwen3_5(768, 8, vocabulary=VOCABULARY, heads=6)


def big_model() -> PreTrainedModel:
    """Return a random Qwen3.5 shaped like the one with two billion parameters."""
    return _qwen3_5(2048, 24, vocabulary=248_320, heads=8)


def _qwen3_5(width: int, layers: int, *, vocabulary: int, heads: int) -> PreTrainedModel:
    torch.manual_seed(0)
    linear: dict[str, Any] = {
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": width // 128,
        "linear_num_value_heads": width // 128,
    }
    return Qwen3_5ForCausalLM(
        Qwen3_5TextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=2,
            head_dim=256 if width >= 2048 else 128,
            intermediate_size=3 * width,
            initializer_range=0.1 if width < 2048 else 0.02,
            tie_word_embeddings=True,
            **linear,
        )
    ).eval()


def random_sae(
    d_sae: int, d_model: int, device: torch.device, *, seed: int = 1
) -> SparseAutoencoder:
    """Return a TopK SAE whose features differ in how often they fire, by orders of magnitude."""
    generator = torch.Generator().manual_seed(seed)
    gains = torch.exp(0.35 * torch.randn(d_sae, 1, generator=generator))
    w_enc = (torch.randn(d_sae, d_model, generator=generator) * gains).to(device)
    zeros = torch.zeros(d_sae, device=device)
    return SparseAutoencoder(w_enc, zeros, w_enc, torch.zeros(d_model, device=device), K)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
