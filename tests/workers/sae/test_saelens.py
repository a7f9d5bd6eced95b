"""A SAELens file is read as its config says, and every option gives what its formula gives."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing import assert_close

from saelens_files import GONE, saelens_config, saelens_tensors, write_saelens
from scopebook.errors import CheckpointError
from scopebook.saelens import SaeLensConfig, read_config
from scopebook_workers.sae.weights import (
    SparseAutoencoder,
    convert_saelens,
    file_sha256,
    read_converted,
    read_saelens,
    saelens_sha256,
)

D_IN, D_SAE, K = 12, 64, 5


def write(folder: Path, tensors: dict[str, Tensor], **changes: Any) -> tuple[Path, SaeLensConfig]:
    """Write an SAE; return its weights' path and what its config says."""
    path = write_saelens(folder, saelens_config(D_IN, D_SAE, **changes), tensors)
    return path, read_config((folder / "cfg.json").read_bytes(), str(folder / "cfg.json"))


def plain(
    x: Tensor,
    tensors: dict[str, Tensor],
    *,
    architecture: str,
    b_dec: bool,
    rescale: bool = False,
    scale: float = 1.0,
    k: int = K,
) -> tuple[Tensor, Tensor]:
    """Compute activations and reconstruction in float64, step by step as SAELens defines them."""
    t = {name: tensor.double() for name, tensor in tensors.items()}
    norm = (t["W_dec"] / scale).norm(dim=1)
    pre_acts = (scale * x.double() - b_dec * t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    if rescale:
        pre_acts = pre_acts * norm
    if architecture == "topk":
        top = pre_acts.topk(k, dim=1)
        acts = torch.zeros_like(pre_acts).scatter(1, top.indices, top.values.relu())
    elif architecture == "standard":
        acts = pre_acts.relu()
    else:
        threshold = t["threshold"] if "threshold" in t else t["topk_threshold"]
        acts = pre_acts.relu() * (pre_acts > threshold)
    written = (acts / norm if rescale else acts) @ t["W_dec"] + t["b_dec"]
    return acts, written / scale


def ours(x: Tensor, sae: SparseAutoencoder) -> tuple[Tensor, Tensor]:
    """Compute the same from what was read: one matrix product and one rule."""
    pre_acts = x @ sae.w_enc.T + sae.b_enc
    if sae.k is not None:
        top = pre_acts.relu().topk(sae.k, dim=1)
        acts = torch.zeros_like(pre_acts).scatter(1, top.indices, top.values)
    elif sae.thresholds is not None:
        acts = pre_acts.relu() * (pre_acts > sae.thresholds)
    else:
        acts = pre_acts.relu()
    return acts, acts @ sae.w_dec + sae.b_dec


def tokens() -> Tensor:
    return 2 * torch.randn(300, D_IN, generator=torch.Generator().manual_seed(9))


def thresholds() -> Tensor:
    """Some of them below zero, where the ReLU decides."""
    return torch.randn(D_SAE, generator=torch.Generator().manual_seed(8)) * 2


ONE_FOR_ALL = torch.tensor(1.25, dtype=torch.float64)
CASES: list[tuple[str, dict[str, Tensor], dict[str, Any]]] = [
    ("standard", {}, {}),
    ("jumprelu", {"threshold": thresholds()}, {}),
    ("topk", {}, {"k": K}),
    ("topk", {}, {"k": K, "rescale_acts_by_decoder_norm": True}),
    ("batchtopk", {"topk_threshold": ONE_FOR_ALL}, {"k": 7.5}),
    ("batchtopk", {"threshold": thresholds()}, {}),
    ("batchtopk", {"topk_threshold": ONE_FOR_ALL}, {"rescale_acts_by_decoder_norm": True}),
    ("matryoshka_batchtopk", {"topk_threshold": ONE_FOR_ALL}, {"matryoshka_widths": [8, 64]}),
]


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("b_dec", [True, False])
@pytest.mark.parametrize(("architecture", "more", "changes"), CASES)
def test_every_option_gives_what_its_formula_gives(
    tmp_path: Path,
    architecture: str,
    more: dict[str, Tensor],
    changes: dict[str, Any],
    b_dec: bool,
    scale: float,
) -> None:
    tensors = saelens_tensors(D_IN, D_SAE, **more)
    scaled = {"normalize_activations": "expected_average_only_in", "norm_scaling_factor": scale}
    path, config = write(
        tmp_path,
        tensors,
        architecture=architecture,
        apply_b_dec_to_input=b_dec,
        **changes,
        **(scaled if scale != 1 else {}),
    )

    sae = read_saelens(path, config, d_model=D_IN)
    kept = convert_saelens(path, tmp_path / "kept.safetensors", config=config)

    rescale = changes.get("rescale_acts_by_decoder_norm", False)
    wanted = plain(
        tokens(), tensors, architecture=architecture, b_dec=b_dec, rescale=rescale, scale=scale
    )
    assert 0 < (wanted[0] > 0).double().mean() < 0.5
    for got in (ours(tokens(), sae), ours(tokens(), read_converted(kept.path))):
        assert_close(got[0].double(), wanted[0], rtol=1e-4, atol=1e-4)
        assert_close(got[1].double(), wanted[1], rtol=1e-4, atol=1e-4)
    assert (kept.kind, kept.k) == (sae.kind, sae.k) == (config.kind, config.k)


def test_a_large_sae_is_folded_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, config = write(
        tmp_path,
        saelens_tensors(D_IN, D_SAE),
        architecture="topk",
        k=K,
        rescale_acts_by_decoder_norm=True,
    )
    whole = read_saelens(path, config)
    monkeypatch.setattr("scopebook_workers.sae.checkpoint._BLOCK_BYTES", 4 * D_IN * 7)

    kept = read_converted(convert_saelens(path, tmp_path / "0.safetensors", config=config).path)

    for name in ("w_enc", "b_enc", "w_dec", "b_dec"):
        assert_close(getattr(kept, name), getattr(whole, name), rtol=1e-6, atol=1e-6)


def test_a_direction_of_zero_never_fires_once_it_is_scaled_by_its_norm(tmp_path: Path) -> None:
    tensors = saelens_tensors(D_IN, D_SAE)
    tensors["W_dec"][3] = 0
    path, config = write(
        tmp_path, tensors, architecture="topk", k=K, rescale_acts_by_decoder_norm=True
    )

    sae = read_saelens(path, config)

    assert ours(tokens(), sae)[0][:, 3].max() == 0
    assert sae.w_dec[3].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_folded_in_double_and_kept_in_single(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    tensors = {name: t.to(dtype) for name, t in saelens_tensors(D_IN, D_SAE).items()}
    path, config = write(tmp_path, tensors, dtype=str(dtype))

    sae = read_saelens(path, config)

    acts, written = plain(tokens(), tensors, architecture="standard", b_dec=True)
    assert sae.w_enc.dtype == sae.b_enc.dtype == torch.float32
    assert_close(ours(tokens(), sae)[0].double(), acts, rtol=1e-4, atol=1e-4)
    assert_close(ours(tokens(), sae)[1].double(), written, rtol=1e-4, atol=1e-4)


def test_an_sae_is_known_by_its_weights_and_how_they_are_read(tmp_path: Path) -> None:
    path, config = write(tmp_path / "a", saelens_tensors(D_IN, D_SAE))
    _, other = write(tmp_path / "b", saelens_tensors(D_IN, D_SAE), apply_b_dec_to_input=False)

    kept = convert_saelens(path, tmp_path / "a.st", config=config, licence="mit")

    assert kept.source_sha256 == saelens_sha256(file_sha256(path), config)
    assert kept.source_sha256 != saelens_sha256(file_sha256(path), other)
    assert (kept.layer, kept.d_sae, kept.d_model, kept.licence) == (2, D_SAE, D_IN, "mit")


def refusal(tmp_path: Path, tensors: dict[str, Tensor], **changes: Any) -> str:
    """Return the sentence with which a file is refused, by reading and by converting alike."""
    path, config = write(tmp_path / "sae", tensors, **changes)
    with pytest.raises(CheckpointError) as read:
        read_saelens(path, config)
    return same_refusal(path, config, str(read.value))


def same_refusal(path: Path, config: SaeLensConfig, sentence: str) -> str:
    destination = path.parent / "kept" / "out.safetensors"
    with pytest.raises(CheckpointError) as converted:
        convert_saelens(path, destination, config=config)
    assert str(converted.value) == sentence
    assert not destination.exists()
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"])
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    tensors = saelens_tensors(D_IN, D_SAE, **{"threshold": thresholds(), name: GONE})

    assert f"has no tensor {name}" in refusal(tmp_path, tensors, architecture="jumprelu")


@pytest.mark.parametrize("name", ["threshold", "topk_threshold", "b_gate", "r_mag", "x"])
def test_an_extra_tensor_is_named(tmp_path: Path, name: str) -> None:
    tensors = saelens_tensors(D_IN, D_SAE, **{name: torch.zeros(D_SAE)})

    sentence = refusal(tmp_path, tensors)

    assert f"has the tensor {name!r}, which an SAE of the architecture standard" in sentence


def test_factors_that_change_nothing_are_passed_over(tmp_path: Path) -> None:
    ones = torch.ones(D_SAE)
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE, scaling_factor=ones))

    assert read_saelens(path, config).d_sae == D_SAE
    assert "has the tensor 'scaling_factor'" in refusal(
        tmp_path, saelens_tensors(D_IN, D_SAE, scaling_factor=2 * ones)
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"W_enc": torch.zeros(D_SAE, D_IN)}, "W_enc has the shape (64, 12), expected (12, 64)"),
        ({"W_dec": torch.zeros(D_IN, D_SAE)}, "W_dec has the shape (12, 64), expected (64, 12)"),
        ({"W_dec": torch.zeros(1, D_SAE, D_IN)}, "W_dec has the shape (1, 64, 12)"),
        ({"b_enc": torch.zeros(D_SAE + 1)}, "b_enc has the shape (65,), expected (64,)"),
        ({"b_dec": torch.zeros(())}, "b_dec has the shape ()"),
        ({"threshold": torch.zeros(D_SAE, 1)}, "threshold has the shape (64, 1)"),
        ({"threshold": torch.zeros(())}, "threshold has the shape (), expected (64,)"),
    ],
)
def test_tensors_that_the_config_does_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, Tensor], said: str
) -> None:
    tensors = {**saelens_tensors(D_IN, D_SAE, threshold=thresholds()), **changes}

    sentence = refusal(tmp_path, tensors, architecture="jumprelu")

    assert said in sentence
    assert "as its cfg.json says" in sentence


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused(tmp_path: Path, name: str, value: float) -> None:
    tensors = saelens_tensors(D_IN, D_SAE, threshold=thresholds())
    tensors[name].view(-1)[-1] = value

    assert f"{name} holds NaN or infinity" in refusal(tmp_path, tensors, architecture="jumprelu")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.float8_e4m3fn])
def test_other_number_types_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = saelens_tensors(D_IN, D_SAE, b_dec=torch.zeros(D_IN).to(dtype))

    assert f"b_dec is stored as {dtype}" in refusal(tmp_path, tensors)


def test_numbers_too_large_for_single_precision_are_refused(tmp_path: Path) -> None:
    tensors = {name: t.double() for name, t in saelens_tensors(D_IN, D_SAE).items()}
    tensors["W_dec"][0, 0] = 1e60

    assert "W_dec holds NaN or infinity" in refusal(tmp_path, tensors)


def test_what_folding_makes_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    tensors = saelens_tensors(D_IN, D_SAE)
    tensors["W_enc"][0, 0] = tensors["W_dec"][0, 0] = 1e30

    sentence = refusal(
        tmp_path, tensors, architecture="topk", k=K, rescale_acts_by_decoder_norm=True
    )

    assert "is too large for float32 once the SAE's scales are folded in" in sentence


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE))
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(CheckpointError) as refused:
        read_saelens(path, config)

    assert "is cut off, damaged or no safetensors file" in same_refusal(
        path, config, str(refused.value)
    )


@pytest.mark.parametrize("content", [b"PK\x03\x04 a pickle", b"\xff" * 64, b"x"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE))
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="is cut off, damaged or no safetensors file"):
        read_saelens(path, config)


def test_weights_that_are_gone_are_refused(tmp_path: Path) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE))
    path.unlink()

    with pytest.raises(CheckpointError, match="does not exist"):
        read_saelens(path, config)


def test_an_sae_of_another_width_than_the_model_is_refused(tmp_path: Path) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE))

    with pytest.raises(CheckpointError, match=r"width 12 .+ but the model's is 32"):
        convert_saelens(path, tmp_path / "0.st", config=config, d_model=32)

    assert not (tmp_path / "0.st").exists()


def test_a_source_that_is_not_what_the_hub_stated_is_refused(tmp_path: Path) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE))

    with pytest.raises(CheckpointError, match="was damaged on its way"):
        convert_saelens(path, tmp_path / "0.st", config=config, sha256="0" * 64)

    assert not (tmp_path / "0.st").exists()


def test_a_file_of_the_time_of_top_k_alone_is_still_read(tmp_path: Path) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE), architecture="topk", k=K)
    kept = convert_saelens(path, tmp_path / "new.st", config=config)
    before = {"format": "scopebook-topk-sae-1", "k": str(K), "layer": "2"}
    before |= {"source_sha256": "a" * 64, "licence": "mit"}
    save_file(load_file(kept.path), tmp_path / "old.st", before)

    sae = read_converted(tmp_path / "old.st")

    assert (sae.k, sae.kind, sae.thresholds) == (K, "topk", None)
    assert sae.w_dec.equal(read_converted(kept.path).w_dec)


@pytest.mark.parametrize(
    "changes", [{"layer": "x"}, {"k": "x"}, {"k": GONE}, {"licence": GONE}, {"kind": "gated"}]
)
def test_a_converted_file_that_does_not_say_what_it_is_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    path, config = write(tmp_path, saelens_tensors(D_IN, D_SAE), architecture="topk", k=K)
    kept = convert_saelens(path, tmp_path / "kept.st", config=config).path
    said = {"format": "scopebook-sae-2", "kind": "topk", "k": str(K), "layer": "2"}
    said |= {"source_sha256": "a" * 64, "licence": "mit"} | changes
    tensors = load_file(kept)
    save_file(tensors, kept, {key: value for key, value in said.items() if value is not GONE})

    with pytest.raises(CheckpointError, match="is not a converted SAE of Scopebook"):
        read_converted(kept)


def test_an_sae_has_one_rule() -> None:
    weights = (torch.zeros(4, 2), torch.zeros(4), torch.zeros(4, 2), torch.zeros(2))

    with pytest.raises(ValueError, match="not both"):
        SparseAutoencoder(*weights, k=2, thresholds=torch.zeros(4))

    assert SparseAutoencoder(*weights, k=None).kind == "relu"
