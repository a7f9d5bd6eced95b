import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qwen_scope_files import qwen_scope_entries, write_layer
from scopebook.errors import CheckpointError
from scopebook_workers.sae.weights import convert, read_qwen_scope

D_SAE, D_MODEL, K = 64, 12, 5


class RunsACommand:
    """A pickle of this creates a file as soon as it is opened without care."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def refusal(path: Path, **expected: int | None) -> str:
    """Return the sentence with which a file is refused, by reading and by converting alike."""
    shape = {"k": K, "d_sae": D_SAE, "d_model": None, **expected}
    with pytest.raises(CheckpointError) as read:
        read_qwen_scope(path, **shape)  # type: ignore[arg-type]
    destination = path.parent / "converted" / "out.safetensors"
    with pytest.raises(CheckpointError) as converted:
        convert(path, destination, layer=0, **shape)  # type: ignore[arg-type]
    sentence = str(read.value)
    assert sentence == str(converted.value)
    assert not destination.parent.exists()
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert path.name in sentence
    return sentence


def refusal_of(folder: Path, entries: object, **expected: int | None) -> str:
    path = folder / "layer0.sae.pt"
    torch.save(entries, path)
    return refusal(path, **expected)


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    entries = {**qwen_scope_entries(D_SAE, D_MODEL), **changes}
    return {name: tensor for name, tensor in entries.items() if tensor is not None}


@pytest.mark.parametrize(
    "content",
    [
        b"this is a text and no tensor\n" * 40,
        b"<!DOCTYPE html><html><body>Not found</body></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
        pickle.dumps({"W_enc": [1.0]}),
        b"\x80",
    ],
)
def test_a_file_that_torch_did_not_write_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "layer0.sae.pt"
    path.write_bytes(content)

    assert "is not a PyTorch file" in refusal(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layer0.sae.pt"
    path.touch()

    assert "is empty" in refusal(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layer0.sae.pt"
    path.mkdir()

    assert "is a folder" in refusal(path)


def test_a_missing_layer_is_refused_with_the_layers_that_are_there(tmp_path: Path) -> None:
    write_layer(tmp_path / "layer11.sae.pt", D_SAE, D_MODEL)

    assert "its folder holds layer11.sae.pt" in refusal(tmp_path / "layer12.sae.pt")


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.02])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float, zipped: bool) -> None:
    path = tmp_path / "layer0.sae.pt"
    torch.save(changed(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])

    assert "is cut off or damaged" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "executed"
    path = tmp_path / "layer0.sae.pt"
    torch.save(
        {**changed(), "note": RunsACommand(trace)}, path, _use_new_zipfile_serialization=zipped
    )

    sentence = refusal(path)

    assert "holds Python code (posix.system)" in sentence
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_plain_pickle_with_code_is_not_even_opened(tmp_path: Path, protocol: int) -> None:
    trace = tmp_path / "executed"
    path = tmp_path / "layer0.sae.pt"
    path.write_bytes(pickle.dumps(RunsACommand(trace), protocol=protocol))

    assert "is not a PyTorch file" in refusal(path)
    assert not trace.exists()


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "layer0.sae.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no tensors here")

    assert "is cut off or damaged" in refusal(path)


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    assert "holds Python code (torch.nn.modules.linear.Linear)" in refusal_of(
        tmp_path, torch.nn.Linear(2, 2)
    )


def test_anything_but_a_dict_is_refused(tmp_path: Path) -> None:
    assert "holds a list: expected a dict" in refusal_of(tmp_path, [torch.zeros(2)])


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec"])
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    assert f"has no tensor {name}" in refusal_of(tmp_path, changed(**{name: None}))


def test_a_list_in_place_of_a_tensor_is_refused(tmp_path: Path) -> None:
    assert "has no tensor b_dec" in refusal_of(tmp_path, {**changed(), "b_dec": [0.0] * D_MODEL})


def test_an_sae_of_another_kind_is_refused(tmp_path: Path) -> None:
    sentence = refusal_of(tmp_path, changed(threshold=torch.zeros(D_SAE)))

    assert "has the tensor 'threshold' that a TopK SAE of Qwen-Scope has not" in sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"W_enc": torch.zeros(1, D_SAE, D_MODEL)}, "W_enc has 3 dimensions"),
        ({"W_enc": torch.zeros(D_MODEL, D_SAE)}, "W_enc has 12 features but the release's name"),
        (
            {"W_dec": torch.zeros(D_SAE, D_MODEL)},
            "W_dec has the shape (64, 12), expected (12",
        ),
        ({"W_dec": torch.zeros(1, D_MODEL, D_SAE)}, "W_dec has the shape (1, 12, 64)"),
        ({"b_enc": torch.zeros(D_SAE, 1)}, "b_enc has the shape (64, 1), expected (64,)"),
        ({"b_enc": torch.zeros(D_SAE + 1)}, "b_enc has the shape (65,)"),
        ({"b_dec": torch.zeros(())}, "b_dec has the shape ()"),
        ({"b_dec": torch.zeros(D_MODEL - 1)}, "b_dec has the shape (11,), expected (12,)"),
    ],
)
def test_shapes_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, changes: dict[str, Tensor], sentence: str
) -> None:
    assert sentence in refusal_of(tmp_path, changed(**changes))


def test_a_width_or_k_that_disagrees_with_the_name_is_refused(tmp_path: Path) -> None:
    assert "64 features but the release's name says 32768" in refusal_of(
        tmp_path, changed(), d_sae=32768
    )
    assert "model width of 12, expected 2048" in refusal_of(tmp_path, changed(), d_model=2048)
    assert "k is 65, expected 1 to the 64" in refusal_of(tmp_path, changed(), k=65)
    assert "k is 0" in refusal_of(tmp_path, changed(), k=0)


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_refused(tmp_path: Path, name: str, value: float) -> None:
    entries = changed()
    entries[name].view(-1)[-1] = value

    assert f"{name} holds NaN or infinity" in refusal_of(tmp_path, entries)


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int64, torch.float64, torch.complex64, torch.float8_e4m3fn]
)
def test_other_number_types_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    sentence = refusal_of(tmp_path, changed(b_dec=torch.zeros(D_MODEL).to(dtype)))

    assert f"b_dec is stored as {dtype}" in sentence


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    sentence = refusal_of(tmp_path, changed(W_enc=torch.eye(D_SAE, D_MODEL).to_sparse()))

    assert "torch.sparse_coo" in sentence
