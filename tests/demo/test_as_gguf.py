"""The demo model as a GGUF file is, read back into transformers, the demo model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig, Qwen3_5ForCausalLM

from scopebook.demo import bundle_path
from scopebook.errors import InvalidInputError
from scopebook_demo.as_gguf import write_gguf

MODEL = bundle_path() / "models" / "Scopebook-Demo-4M-Base"
LINEAR = "linear_attn."


@pytest.fixture(scope="module")
def demo() -> Any:
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> GGUFReader:
    path = tmp_path_factory.mktemp("gguf") / "demo.gguf"
    write_gguf(MODEL, path)
    return GGUFReader(path)


def told(file: GGUFReader, key: str) -> Any:
    return file.fields[key].contents()


def read_back(file: GGUFReader, demo: Any) -> Any:
    """Return a model with keys as wide as values, of what the file holds; heads in their order."""
    config = type(demo.config).from_dict(demo.config.to_dict())
    config.linear_key_head_dim = told(file, "qwen35.ssm.state_size")
    config.rms_norm_eps = told(file, "qwen35.attention.layer_norm_rms_epsilon")
    wide = Qwen3_5ForCausalLM(config).eval()
    held = {tensor.name: torch.tensor(tensor.data) for tensor in file.tensors}
    with torch.no_grad():
        for name, weight in wide.named_parameters():
            weight.copy_(_of(held, name, weight))
    return wide


def _of(held: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    found = held[_name(name)]
    if name.endswith("norm.weight") and LINEAR not in name:
        return found - 1
    if name.endswith("A_log"):
        found = found.neg().log()
    if LINEAR in name and not name.endswith("norm.weight"):
        return _grouped(found, name).reshape(like.shape)
    return found


def _name(name: str) -> str:
    if not name.startswith("model.layers."):
        return {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}[
            name.removesuffix(".weight")
        ] + ".weight"
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    short = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "post_attention_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "linear_attn.in_proj_qkv": "attn_qkv",
        "linear_attn.in_proj_z": "attn_gate",
        "linear_attn.in_proj_b": "ssm_beta",
        "linear_attn.in_proj_a": "ssm_alpha",
        "linear_attn.conv1d": "ssm_conv1d",
        "linear_attn.norm": "ssm_norm",
        "linear_attn.out_proj": "ssm_out",
    }
    if part == "linear_attn.A_log":
        return f"blk.{layer}.ssm_a"
    if part == "linear_attn.dt_bias":
        return f"blk.{layer}.ssm_dt.bias"
    return f"blk.{layer}.{short[part.removesuffix('.weight')]}.weight"


def _grouped(tensor: Tensor, name: str) -> Tensor:
    """Undo the order of the value heads: 0, 2, 1, 3 of the demo's four."""
    if name.endswith("out_proj.weight"):
        return _grouped(tensor.T, "").T
    asked = 192 if name.endswith(("in_proj_qkv.weight", "conv1d.weight")) else 0
    rest = tensor[asked:]
    heads = rest.reshape(4, -1, *rest.shape[1:])[[0, 2, 1, 3]]
    return torch.cat([tensor[:asked], heads.flatten(0, 1)])


def test_read_back_it_says_what_the_demo_model_says(file: GGUFReader, demo: Any) -> None:
    text = torch.randint(3, 8000, (2, 60), generator=torch.Generator().manual_seed(1))
    wide = read_back(file, demo)

    with torch.no_grad():
        wanted, found = (model(text).logits.log_softmax(-1) for model in (demo, wide))
        wide.config.rms_norm_eps = demo.config.rms_norm_eps
        for module in wide.modules():
            if hasattr(module, "variance_epsilon"):
                module.variance_epsilon = demo.config.rms_norm_eps
        with_the_old_epsilon = wide(text).logits.log_softmax(-1)

    assert (found - wanted).abs().max() < 1e-3
    assert (with_the_old_epsilon - wanted).abs().max() > 0.1


def test_it_holds_the_tokens_of_the_demo_model(file: GGUFReader, demo: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    tokens = told(file, "tokenizer.ggml.tokens")

    assert len(tokens) == demo.config.vocab_size
    assert tokens[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert told(file, "tokenizer.ggml.eos_token_id") == demo.config.eos_token_id


def test_a_model_whose_keys_are_wider_is_refused(demo: Any, tmp_path: Path) -> None:
    config: PretrainedConfig = type(demo.config).from_dict(demo.config.to_dict())
    config.linear_key_head_dim = 64  # type: ignore[attr-defined]
    Qwen3_5ForCausalLM(config).save_pretrained(tmp_path / "wide")

    with pytest.raises(InvalidInputError, match="wider than its values"):
        write_gguf(tmp_path / "wide", tmp_path / "wide.gguf")

    assert not (tmp_path / "wide.gguf").exists()
