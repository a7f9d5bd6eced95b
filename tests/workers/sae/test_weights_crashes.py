import subprocess
import sys
from pathlib import Path

import pytest
from tests.full_disk import files_limited_to

from qwen_scope_files import write_layer
from scopebook.errors import UnavailableError
from scopebook_workers.sae.weights import convert, read_converted, read_qwen_scope

D_SAE, D_MODEL, K = 64, 12, 5

# Each child kills itself with SIGKILL when a function is called for the n-th time. Four tensors
# are checked before the first is written: the sixth look at rows is in the middle of the file.
CONVERT_AND_DIE = """
import os, signal, sys
from pathlib import Path
from scopebook_workers.sae import checkpoint, weights

def dying(original, calls_left):
    def replacement(*args):
        nonlocal calls_left
        if calls_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        calls_left -= 1
        return original(*args)
    return replacement

source, folder = map(Path, sys.argv[1:])
for owner, name, calls in [(checkpoint, "row_spans", 5), (os, "fsync", 0)]:
    child = os.fork()
    if child == 0:
        setattr(owner, name, dying(getattr(owner, name), calls))
        weights.convert(source, folder / f"{name}.safetensors", layer=0, k=5, d_sae=64)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""


def test_a_convert_killed_in_the_middle_leaves_no_half_file(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    kept = tmp_path / "kept"

    subprocess.run([sys.executable, "-c", CONVERT_AND_DIE, str(source), str(kept)], check=True)

    names = ["fsync.safetensors", "row_spans.safetensors"]
    assert sorted(file.name for file in kept.iterdir()) == [f"{name}.partial" for name in names]
    direct = read_qwen_scope(source, k=K, d_sae=D_SAE)
    for name in names:
        convert(source, kept / name, layer=0, k=K, d_sae=D_SAE)
        assert read_converted(kept / name).w_dec.equal(direct.w_dec)
    assert sorted(file.name for file in kept.iterdir()) == names


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_layer(tmp_path / "layer0.sae.pt", D_SAE, D_MODEL)
    destination = tmp_path / "kept" / "0.safetensors"

    with (
        files_limited_to(2000),
        pytest.raises(
            UnavailableError, match=r"could not be written \(.+\): mend what stands in the way"
        ),
    ):
        convert(source, destination, layer=0, k=K, d_sae=D_SAE)

    assert list(destination.parent.iterdir()) == []


def test_a_full_disk_leaves_what_was_converted_before(tmp_path: Path) -> None:
    destination = tmp_path / "0.safetensors"
    first = write_layer(tmp_path / "a" / "layer0.sae.pt", D_SAE, D_MODEL, seed=1)
    second = write_layer(tmp_path / "b" / "layer0.sae.pt", D_SAE, D_MODEL, seed=2)
    kept = convert(first, destination, layer=0, k=K, d_sae=D_SAE)

    with files_limited_to(2000), pytest.raises(UnavailableError):
        convert(second, destination, layer=0, k=K, d_sae=D_SAE)

    assert convert(first, destination, layer=0, k=K, d_sae=D_SAE) == kept
