import json
from typing import Any

import pytest

from saelens_files import GONE, flat_config, saelens_config
from scopebook.errors import CheckpointError
from scopebook.saelens import SaeLensConfig, read_config

D_IN, D_SAE = 12, 64


def read(config: object) -> SaeLensConfig:
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    return read_config(content, "set/cfg.json")


def refusal(config: object) -> str:
    with pytest.raises(CheckpointError) as refused:
        read(config)
    sentence = str(refused.value)
    assert sentence.startswith("set/cfg.json")
    assert "\n" not in sentence
    return sentence


def test_both_layouts_say_the_same() -> None:
    new, old = read(saelens_config(D_IN, D_SAE)), read(flat_config(D_IN, D_SAE))

    assert new == old
    assert (new.layer, new.d_in, new.d_sae) == (2, D_IN, D_SAE)
    assert (new.kind, new.k, new.model_name) == ("relu", None, "Tiny-Model")
    assert (new.subtracts_b_dec, new.scales_by_decoder_norm, new.input_scale) == (True, False, 1.0)


def test_a_file_of_the_first_version_is_read() -> None:
    old = {
        "d_in": D_IN,
        "d_sae": D_SAE,
        "hook_point": "blocks.3.hook_resid_pre",
        "hook_point_layer": 3,
        "hook_point_head_index": None,
        "normalize_activations": False,
    }

    config = read(old)

    assert (config.layer, config.kind, config.subtracts_b_dec) == (2, "relu", True)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("standard", "relu"),
        ("jumprelu", "threshold"),
        ("batchtopk", "threshold"),
        ("matryoshka_batchtopk", "threshold"),
    ],
)
def test_the_architecture_says_which_features_are_active(architecture: str, kind: str) -> None:
    config = read(saelens_config(D_IN, D_SAE, architecture=architecture, k=5))

    assert (config.kind, config.k) == (kind, None)


@pytest.mark.parametrize(
    "config",
    [
        saelens_config(D_IN, D_SAE, architecture="topk", k=5),
        saelens_config(D_IN, D_SAE, architecture="topk", k=5.0),
        flat_config(D_IN, D_SAE, activation_fn_str="topk", activation_fn_kwargs={"k": 5}),
        flat_config(
            D_IN, D_SAE, architecture="topk", activation_fn="topk", activation_fn_kwargs={"k": 5}
        ),
    ],
)
def test_a_top_k_is_found_wherever_a_version_wrote_it(config: dict[str, Any]) -> None:
    found = read(config)

    assert (found.kind, found.k) == ("topk", 5)


@pytest.mark.parametrize(
    ("hook", "layer"),
    [
        ("blocks.0.hook_resid_post", 0),
        ("blocks.12.hook_resid_post", 12),
        ("blocks.12.hook_resid_pre", 11),
        ("blocks.1.hook_resid_pre", 0),
        ("model.layers.12", 12),
        ("model.layers.12.output", 12),
    ],
)
def test_the_hook_says_after_which_layer_the_sae_reads(hook: str, layer: int) -> None:
    assert read(saelens_config(D_IN, D_SAE, hook_name=hook)).layer == layer


@pytest.mark.parametrize(
    "hook",
    [
        "blocks.0.hook_resid_pre",
        "blocks.3.hook_mlp_out",
        "blocks.3.attn.hook_z",
        "blocks.3.hook_attn_out",
        "blocks.3.ln2.hook_normalized",
        "blocks.99999.hook_resid_post",
        "blocks.-1.hook_resid_post",
        "model.layers.3.mlp",
        "hook_embed",
    ],
)
def test_a_place_that_is_not_the_residual_after_a_layer_is_refused(hook: str) -> None:
    sentence = refusal(saelens_config(D_IN, D_SAE, hook_name=hook))

    assert f"hook_name is '{hook}'; only SAEs of the residual stream after a layer" in sentence


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"{}" + b" " * 1_000_001, b'{"d_in": NaNaN}'],
    ids=["empty", "cut", "binary", "deep", "long", "no-number"],
)
def test_what_is_no_json_is_refused(content: bytes) -> None:
    assert "is not readable as JSON" in refusal(content)


@pytest.mark.parametrize("content", [[], "text", 3, None, True])
def test_json_that_is_no_object_is_refused(content: object) -> None:
    assert "expected an object as SAELens writes it" in refusal(content)


@pytest.mark.parametrize("key", ["d_in", "d_sae", "hook_name"])
def test_a_missing_key_is_named(key: str) -> None:
    assert f"{key} is missing" in refusal(saelens_config(D_IN, D_SAE, **{key: GONE}))


@pytest.mark.parametrize("key", ["d_in", "d_sae"])
@pytest.mark.parametrize(
    "value", [0, -1, 1.5, 2**40, 1e300, float("nan"), float("inf"), True, "64", [64], {}]
)
def test_an_absurd_size_is_refused(key: str, value: object) -> None:
    assert f"it must be a whole number from 1 to {2**17 if key == 'd_in' else 2**20}" in refusal(
        saelens_config(D_IN, D_SAE, **{key: value})
    )


@pytest.mark.parametrize("k", [0, -3, 2.5, True, "5", GONE, 65])
def test_a_k_that_cannot_be_is_refused(k: object) -> None:
    assert "k is " in refusal(saelens_config(D_IN, D_SAE, architecture="topk", k=k))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "gated"}, "the architecture 'gated' is not read"),
        ({"architecture": "abstopk", "k": 3}, "the architecture 'abstopk' is not read"),
        ({"architecture": "jumprelu_transcoder"}, "'jumprelu_transcoder' is not read"),
        ({"architecture": "temporal"}, "'temporal' is not read"),
        ({"architecture": ["standard"]}, "architecture is \"['standard']\"; it must be text"),
        ({"normalize_activations": "layer_norm"}, "depends on each token and cannot be folded"),
        ({"normalize_activations": "constant_norm_rescale"}, "cannot be folded"),
        ({"normalize_activations": "covariance_whitening"}, "cannot be folded"),
        ({"normalize_activations": ["none"]}, "cannot be folded"),
        ({"normalize_activations": "expected_average_only_in"}, "does not say by how much"),
        ({"normalize_activations": True, "norm_scaling_factor": 0}, "does not say by how much"),
        ({"normalize_activations": True, "norm_scaling_factor": 1e9}, "does not say by how much"),
        ({"hook_head_index": 3}, "the SAE reads one attention head"),
        ({"reshape_activations": "hook_z"}, "the SAE reads attention heads"),
        ({"hook_name_out": "blocks.3.hook_mlp_out"}, "as a transcoder"),
        ({"d_out": 12}, "as a transcoder"),
        ({"finetuning_scaling_factor": True}, "multiply it into W_dec"),
        ({"finetuning_scaling_factor": "no"}, "it must be true or false"),
        ({"apply_b_dec_to_input": "yes"}, "it must be true or false"),
        ({"apply_b_dec_to_input": 1}, "it must be true or false"),
        ({"rescale_acts_by_decoder_norm": True}, "which the architecture standard has not"),
        ({"dtype": "int8"}, "dtype is 'int8'; it must be one of float32"),
        ({"activation_fn": "tanh-relu"}, "the activation function 'tanh-relu'"),
        ({"activation_fn": "topk", "activation_fn_kwargs": {"k": 3, "postact_fn": "x"}}, "postact"),
        ({"activation_fn": "topk", "activation_fn_kwargs": [3]}, "is not read"),
        ({"model_name": 7}, "model_name is '7'; it must be text"),
        ({"hook_layer": 5}, "hook_layer is '5' but hook_name is 'blocks.2.hook_resid_post'"),
        ({"metadata": ["x"]}, "metadata is no object"),
    ],
)
def test_what_cannot_be_run_as_one_matrix_product_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    assert said in refusal(
        {**saelens_config(D_IN, D_SAE), **changes}
        if "metadata" in changes
        else saelens_config(D_IN, D_SAE, **changes)
    )


def test_a_stated_scale_is_read() -> None:
    config = read(
        saelens_config(
            D_IN, D_SAE, normalize_activations="expected_average_only_in", norm_scaling_factor=0.5
        )
    )

    assert config.input_scale == 0.5


def test_the_recipe_changes_with_what_changes_a_number_only() -> None:
    one = read(saelens_config(D_IN, D_SAE, architecture="topk", k=5))
    renamed = read(saelens_config(D_IN, D_SAE, architecture="topk", k=5, model_name="a/b"))
    other = read(saelens_config(D_IN, D_SAE, architecture="topk", k=6))

    assert one.recipe == renamed.recipe != other.recipe
