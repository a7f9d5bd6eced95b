"""Write the demo model as a GGUF file, on which exports for llama.cpp can be tried.

usage: python -m scopebook_demo.as_gguf FILE

llama.cpp knows one width for the keys and the values of linear attention; the demo's keys are 32
wide and its values 48. So the keys, and the queries with them, are filled up with zeros, which
changes no product of a query and a key. But queries are divided by the root of their width, so that
what a head puts out is smaller by a constant factor. The norm that follows takes any factor off
again as long as its epsilon is smaller by the factor's square: that epsilon is one for the whole
model in llama.cpp. The other norms see numbers so large beside it that log-probabilities differ by
some thousandths at most. Everything is in float32.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFWriter, TokenType
from torch import Tensor
from transformers import AutoModelForCausalLM

from scopebook.demo import bundle_path
from scopebook.errors import InvalidInputError

_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.A_log": "ssm_a",
    "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
}


def write_gguf(folder: Path, file: Path) -> None:
    """Write the Qwen3.5 model in `folder` with its tokenizer.

    Raises:
        InvalidInputError: The keys of its linear attention are wider than the values.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config: Any = model.config
    if config.linear_key_head_dim > config.linear_value_head_dim:
        raise InvalidInputError(
            f"{folder}: keys of linear attention that are wider than its values cannot be filled "
            "up; give the demo model."
        )
    writer = GGUFWriter(file, "qwen35")
    _add_shape(writer, config)
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_bytes()), config)
    for name, tensor in _tensors(model.state_dict(), config):
        writer.add_tensor(name, tensor.detach().float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: GGUFWriter, config: Any) -> None:
    width = config.linear_value_head_dim
    turned = int(config.head_dim * config.rope_parameters["partial_rotary_factor"])
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps * config.linear_key_head_dim / width)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(turned)
    # Time, height and width of pictures, of which a text knows but one: any parts do.
    thirds = [turned // 2 - 2 * (turned // 6), turned // 6, turned // 6, 0]
    writer.add_rope_dimension_sections(thirds)
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(width)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(width * config.linear_num_value_heads)
    writer.add_full_attention_interval(1 + config.layer_types.index("full_attention"))
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: GGUFWriter, tokenizer: Any, config: Any) -> None:
    vocabulary = tokenizer["model"]["vocab"]
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    token_of = {number: token for token, number in (vocabulary | special).items()}
    numbers = range(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([token_of.get(number, f"<unused{number}>") for number in numbers])
    writer.add_token_types([_type(number, token_of, special) for number in numbers])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_add_bos_token(False)


def _type(number: int, token_of: dict[int, str], special: dict[str, int]) -> TokenType:
    if number not in token_of:
        return TokenType.UNUSED
    return TokenType.CONTROL if token_of[number] in special else TokenType.NORMAL


def _tensors(state: dict[str, Tensor], config: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield what the file holds, by its name there: norms as factors, decays as they are used."""
    yield "token_embd.weight", state["model.embed_tokens.weight"]
    yield "output_norm.weight", state["model.norm.weight"] + 1
    if not config.tie_word_embeddings:
        yield "output.weight", state["lm_head.weight"]
    for layer in range(config.num_hidden_layers):
        whole = f"model.layers.{layer}."
        for name, tensor in state.items():
            if name.startswith(whole):
                part = name.removeprefix(whole)
                yield f"blk.{layer}.{_NAMES[part]}", _converted(part, tensor, config)


def _converted(part: str, tensor: Tensor, config: Any) -> Tensor:
    if part.endswith("norm.weight") and part != "linear_attn.norm.weight":
        return tensor + 1
    if part == "linear_attn.A_log":
        tensor = -tensor.exp()
    if part == "linear_attn.conv1d.weight":
        tensor = tensor.squeeze(1)
    values = config.linear_num_value_heads * config.linear_value_head_dim
    if part in ("linear_attn.in_proj_qkv.weight", "linear_attn.conv1d.weight"):
        asked, value = tensor[:-values], tensor[-values:]
        return torch.cat([_filled_up(asked, config), _in_turns(value, config)])
    if part == "linear_attn.out_proj.weight":
        return _in_turns(tensor.T, config).T
    if part.startswith("linear_attn.") and part != "linear_attn.norm.weight":
        return _in_turns(tensor, config)
    return tensor


def _filled_up(asked: Tensor, config: Any) -> Tensor:
    """Return queries and keys with zeros up to the width of the values, head by head."""
    width, rest = config.linear_key_head_dim, asked.shape[1:]
    heads = asked.reshape(2 * config.linear_num_key_heads, width, *rest)
    more = config.linear_value_head_dim - width
    zeros = asked.new_zeros(len(heads), more, *rest)
    return torch.cat([heads, zeros], dim=1).flatten(0, 1)


def _in_turns(values: Tensor, config: Any) -> Tensor:
    """Return heads of values in llama.cpp's order: the first of each key head, then the second.

    In transformers the heads of one key head stand together.
    """
    keys, heads = config.linear_num_key_heads, config.linear_num_value_heads
    by_key = values.reshape(keys, heads // keys, -1, *values.shape[1:])
    return by_key.transpose(0, 1).flatten(0, 2)


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="where the GGUF file goes")
    file = parser.parse_args().file
    bundle = bundle_path()
    write_gguf(bundle / json.loads((bundle / "bundle.json").read_bytes())["model"]["path"], file)
    sys.stdout.write(f"{file}: {file.stat().st_size / 2**20:.0f} MB\n")


if __name__ == "__main__":
    main()
