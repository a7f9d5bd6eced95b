import fcntl
import struct
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from qwen_scope_files import qwen_scope_entries, write_layer
from scopebook.errors import CheckpointError, ConflictError
from scopebook_workers.sae.weights import (
    SparseAutoencoder,
    check_against_model,
    convert,
    converted_sae,
    file_sha256,
    read_converted,
    read_qwen_scope,
)

D_SAE, D_MODEL, K = 64, 12, 5


def test_the_four_tensors_come_back_with_the_decoder_by_feature(tmp_path: Path) -> None:
    entries = qwen_scope_entries(D_SAE, D_MODEL)
    torch.save(entries, tmp_path / "layer3.sae.pt")

    sae = read_qwen_scope(tmp_path / "layer3.sae.pt", k=K, d_sae=D_SAE, d_model=D_MODEL)

    assert (sae.d_sae, sae.d_model, sae.k) == (D_SAE, D_MODEL, K)
    assert_close(sae.w_enc, entries["W_enc"], rtol=0, atol=0)
    assert_close(sae.w_dec[7], entries["W_dec"][:, 7], rtol=0, atol=0)
    assert sae.w_dec.is_contiguous()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_is_read_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    entries = {name: t.to(dtype) for name, t in qwen_scope_entries(D_SAE, D_MODEL).items()}
    torch.save(entries, tmp_path / "layer0.sae.pt")

    sae = read_qwen_scope(tmp_path / "layer0.sae.pt", k=K, d_sae=D_SAE)

    assert sae.w_enc.dtype == sae.b_dec.dtype == torch.float32
    assert_close(sae.w_enc, entries["W_enc"].float(), rtol=0, atol=0)


def test_a_file_of_the_old_torch_format_is_read_too(tmp_path: Path) -> None:
    entries = qwen_scope_entries(D_SAE, D_MODEL)
    torch.save(entries, tmp_path / "old.sae.pt", _use_new_zipfile_serialization=False)

    sae = read_qwen_scope(tmp_path / "old.sae.pt", k=K, d_sae=D_SAE)

    assert_close(sae.w_enc, entries["W_enc"], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_converted_sae_is_the_one_that_was_read(tmp_path: Path, dtype: torch.dtype) -> None:
    entries = {name: t.to(dtype) for name, t in qwen_scope_entries(D_SAE, D_MODEL).items()}
    source = tmp_path / "layer3.sae.pt"
    torch.save(entries, source)

    kept = convert(source, tmp_path / "kept" / "3.safetensors", layer=3, k=K, d_sae=D_SAE)

    direct = read_qwen_scope(source, k=K, d_sae=D_SAE)
    again = read_converted(kept.path)
    for name in ("w_enc", "b_enc", "w_dec", "b_dec"):
        assert_close(getattr(again, name), getattr(direct, name), rtol=0, atol=0)
    assert again.k == K


def test_a_converted_sae_tells_where_it_came_from(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer3.sae.pt", D_SAE, D_MODEL)

    kept = convert(source, tmp_path / "3.safetensors", layer=3, k=K, d_sae=D_SAE, licence="qwen")

    assert kept == converted_sae(kept.path)
    assert (kept.layer, kept.k, kept.d_sae, kept.d_model) == (3, K, D_SAE, D_MODEL)
    assert (kept.licence, kept.source_sha256) == ("qwen", file_sha256(source))


def test_a_large_decoder_is_transposed_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    monkeypatch.setattr("scopebook_workers.sae.checkpoint._BLOCK_BYTES", 4 * D_MODEL * 7)

    kept = convert(source, tmp_path / "0.safetensors", layer=0, k=K, d_sae=D_SAE)

    direct = read_qwen_scope(source, k=K, d_sae=D_SAE)
    assert_close(read_converted(kept.path).w_dec, direct.w_dec, rtol=0, atol=0)


def test_converting_again_writes_nothing(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    kept = convert(source, tmp_path / "0.safetensors", layer=0, k=K, d_sae=D_SAE)
    before = kept.path.stat()

    convert(source, kept.path, layer=0, k=K, d_sae=D_SAE)

    assert kept.path.stat().st_ino == before.st_ino
    assert kept.path.stat().st_mtime_ns == before.st_mtime_ns


def test_another_source_replaces_what_was_converted(tmp_path: Path) -> None:
    destination = tmp_path / "0.safetensors"
    first = write_layer(tmp_path / "a" / "layer0.sae.pt", D_SAE, D_MODEL, seed=1)
    second = write_layer(tmp_path / "b" / "layer0.sae.pt", D_SAE, D_MODEL, seed=2)
    convert(first, destination, layer=0, k=K, d_sae=D_SAE)

    kept = convert(second, destination, layer=0, k=K, d_sae=D_SAE)

    assert kept.source_sha256 == file_sha256(second)


def test_a_source_that_is_not_what_the_hub_stated_is_refused(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)

    with pytest.raises(CheckpointError, match="was damaged on its way: its SHA-256 is"):
        convert(source, tmp_path / "0.st", layer=0, k=K, d_sae=D_SAE, sha256="0" * 64)

    assert not (tmp_path / "0.st").exists()


def test_a_converted_file_can_be_had_in_another_dtype(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    kept = convert(source, tmp_path / "0.safetensors", layer=0, k=K, d_sae=D_SAE)

    sae = read_converted(kept.path, dtype=torch.bfloat16)

    assert sae.w_dec.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no safetensors at all",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 1 << 62) + b"{}",
    ],
)
def test_a_foreign_file_is_no_converted_sae(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "0.safetensors"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="is not a converted SAE of Scopebook"):
        read_converted(path)


def test_a_cut_converted_file_is_refused_and_written_anew(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    kept = convert(source, tmp_path / "0.safetensors", layer=0, k=K, d_sae=D_SAE)
    kept.path.write_bytes(kept.path.read_bytes()[:-100])

    with pytest.raises(CheckpointError, match="add the release again"):
        read_converted(kept.path)

    assert convert(source, kept.path, layer=0, k=K, d_sae=D_SAE) == kept


def sae_of(d_sae: int, d_model: int) -> SparseAutoencoder:
    return SparseAutoencoder(
        w_enc=torch.zeros(d_sae, d_model),
        b_enc=torch.zeros(d_sae),
        w_dec=torch.zeros(d_sae, d_model),
        b_dec=torch.zeros(d_model),
        k=2,
    )


def test_an_sae_fits_a_model_of_its_width_and_depth() -> None:
    sae = sae_of(8, 4)

    check_against_model(sae, d_model=4, n_layers=3, layer=2)

    with pytest.raises(CheckpointError, match="width 4 but the model's is 8"):
        check_against_model(sae, d_model=8, n_layers=3, layer=2)
    with pytest.raises(CheckpointError, match="for layer 3 but the model has layers 0 to 2"):
        check_against_model(sae, d_model=4, n_layers=3, layer=3)


def test_two_that_convert_the_same_sae_at_once_do_not_mix(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    destination = tmp_path / "0.safetensors"
    with (tmp_path / "0.safetensors.partial").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(ConflictError, match="being written by another process"):
            convert(source, destination, layer=0, k=K, d_sae=D_SAE)

    assert convert(source, destination, layer=0, k=K, d_sae=D_SAE).path == destination
