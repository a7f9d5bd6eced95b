"""A tiny Qwen3 as a GGUF file, written by the gguf package alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, TokenType
from tests.tiny_models import tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedModel

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_tiny_gguf(model: PreTrainedModel, path: Path) -> Path:
    """Write a Qwen3 in float32 with the tiny tokenizer."""
    config: Any = model.config
    writer = GGUFWriter(path, "qwen3")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, config.vocab_size)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(_name(name), _numbers(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, size: int) -> None:
    held = json.loads(tiny_tokenizer().to_str())["model"]
    tokens = sorted(held["vocab"], key=held["vocab"].__getitem__)
    unused = [f"<unused{place}>" for place in range(size - len(tokens))]
    types = [TokenType.CONTROL, *[TokenType.NORMAL] * (len(tokens) - 1)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*tokens, *unused])
    writer.add_token_types([*types, *[TokenType.UNUSED] * len(unused)])
    writer.add_token_merges([" ".join(pair) for pair in held["merges"]])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def _name(name: str) -> str:
    whole, _, kind = name.rpartition(".")
    if whole in _NAMES:
        return f"{_NAMES[whole]}.{kind}"
    layer, _, part = whole.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_NAMES[part]}.{kind}"


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().numpy()
