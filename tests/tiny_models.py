"""Tiny random models of the four Qwen families, and a byte-level tokenizer for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedModel,
    Qwen3_5Config,
    Qwen3_5ForCausalLM,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeForCausalLM,
    Qwen3_5MoeTextConfig,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

VOCABULARY = 400

_COMMON: Final[dict[str, Any]] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "eos_token_id": 1,
    "pad_token_id": 0,
    # With the usual 0.02 the layers hardly change the stream, and a wrong layer goes unseen.
    "initializer_range": 0.25,
}
_LINEAR: Final[dict[str, Any]] = {
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
_EXPERTS: Final[dict[str, Any]] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
}

_MAKERS: Final[dict[str, Callable[[], PreTrainedModel]]] = {
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(intermediate_size=64, **_COMMON)),
    "qwen3_moe": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            intermediate_size=64, decoder_sparse_step=1, norm_topk_prob=True, **_EXPERTS, **_COMMON
        )
    ),
    "qwen3_5": lambda: Qwen3_5ForCausalLM(
        Qwen3_5TextConfig(intermediate_size=64, **_LINEAR, **_COMMON)
    ),
    "qwen3_5_moe": lambda: Qwen3_5MoeForCausalLM(
        Qwen3_5MoeTextConfig(shared_expert_intermediate_size=32, **_EXPERTS, **_LINEAR, **_COMMON)
    ),
}
FAMILIES: Final = tuple(_MAKERS)


def tiny_model(family: str = "qwen3") -> PreTrainedModel:
    """Return a random model with four layers, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return _MAKERS[family]().eval()


def tiny_multimodal_model() -> PreTrainedModel:
    """Return a random Qwen3.5 with a vision tower, the form in which the hub holds them."""
    rope = {
        "rope_type": "default",
        "rope_theta": 1e7,
        "partial_rotary_factor": 0.5,
        "mrope_section": [1, 1, 0],
        "mrope_interleaved": True,
    }
    vision = {"hidden_size": 32, "intermediate_size": 32, "out_hidden_size": 32, "patch_size": 4}
    config = Qwen3_5Config(
        text_config={"intermediate_size": 64, "rope_parameters": rope, **_LINEAR, **_COMMON},
        vision_config={"depth": 1, "num_heads": 2, **vision},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen3_5ForConditionalGeneration(config).eval()


def tiny_tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer that splits most CJK characters and all emoji."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 10,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    text = "the cat sat on the mat and the dog ran to the cat; 中文 中国 der Hund die Katze\n" * 20
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def save_tiny_model(folder: Path, family: str = "qwen3") -> Path:
    """Write the model and its tokenizer as a checkpoint folder."""
    tiny_model(family).save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
