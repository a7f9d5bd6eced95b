"""llama.cpp, through llama-cpp-python, steers by exported control vectors as the app does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.exports.comparing import off, unsteered, verify, wanted
from tests.exports.tiny_gguf import write_tiny_gguf
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADDED, TEXTS, preset_of
from tests.workers.exporters.plain_modules import module_from
from tests.workers.exporters.test_bundle import bundle, signed
from tests.workers.exporters.test_transformers import live
from transformers import AutoModelForCausalLM

from scopebook.demo import bundle_path
from scopebook_demo.as_gguf import write_gguf
from scopebook_workers.exporters import gguf
from scopebook_workers.exporters.plain_files import plain_file
from scopebook_workers.sae.edits import Edit

ENOUGH = 3e-4
PROMPTS = [{"token_ids": text} for text in TEXTS]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tiny_model(), tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the verify.py of exports as a module."""
    folder = tmp_path_factory.mktemp("tool")
    for where, name in (("shared", "checks.py"), ("shared", "control_vector.py")):
        (folder / name).write_bytes(plain_file(where, name))
    (folder / "verify.py").write_bytes(plain_file("gguf", "verify.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return module_from(folder / "verify.py")


def told(tool: Any, model: Path, folder: Path) -> list[torch.Tensor]:
    _, vectors = tool.read_control_vector(folder / "preset.gguf")
    found = tool.by_library(str(model), vectors, PROMPTS)
    return [torch.tensor([one[token] for token in range(len(one))]) for one in found]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_a_vector_acts_at_its_layer_and_at_no_other(
    layer: int, tool: Any, model: Path, tmp_path: Path
) -> None:
    preset = preset_of(tiny_model(), {layer: [Edit(3, "add", 2.0)]})
    gguf.write(preset, tmp_path)
    steered = wanted(preset)[-1].log_softmax(-1)

    found = told(tool, model, tmp_path)[0]

    difference = off(found, steered)
    print(f"llama.cpp, layer {layer}: off by {difference:.1e}")
    assert difference < ENOUGH
    for other in {1, 2, 3} - {layer}:
        gguf.write(preset_of(tiny_model(), {other: [Edit(3, "add", 2.0)]}), tmp_path)
        assert off(told(tool, model, tmp_path)[0], steered) > 100 * ENOUGH


def test_all_layers_at_once_on_several_prompts(tool: Any, model: Path, tmp_path: Path) -> None:
    preset = preset_of(tiny_model(), ADDED)
    gguf.write(preset, tmp_path)

    found = told(tool, model, tmp_path)

    differences = [
        off(one, wanted(preset, text)[-1].log_softmax(-1)) for text, one in enumerate(found)
    ]
    moved = off(found[0], unsteered()[-1].log_softmax(-1))
    print(
        f"llama.cpp, all layers: off by {max(differences):.1e}; the vectors move it by {moved:.1f}"
    )
    assert max(differences) < ENOUGH
    assert moved > 1


def test_its_verify_proves_it_and_tells_of_a_vector_that_does_nothing(
    model: Path, tmp_path: Path
) -> None:
    right = bundle("gguf", tmp_path / "right")
    silent = bundle("gguf", tmp_path / "silent")
    preset = preset_of(tiny_model(), {1: [Edit(3, "add", 0.0)]})
    gguf.write(preset, silent)
    signed(silent)

    status, said = verify(right, "--model", str(model))

    print(said)
    assert (status, said[:18]) == (0, "STEERS AS MEASURED")
    assert verify(silent, "--model", str(model))[1].startswith("Runs UNSTEERED")


def test_the_demo_model_steers_there_as_here(tool: Any, tmp_path: Path) -> None:
    folder = bundle_path() / "models" / "Scopebook-Demo-4M-Base"
    write_gguf(folder, tmp_path / "demo.gguf")
    demo = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    preset = preset_of(demo, {1: [Edit(3, "add", 20.0)], 2: [Edit(8, "add", -15.0)]})
    silent = preset_of(demo, {1: [Edit(3, "add", 0.0)]})

    steered, unsteered_there = [], []
    for of, found in ((preset, steered), (silent, unsteered_there)):
        gguf.write(of, tmp_path)
        found.extend(told(tool, tmp_path / "demo.gguf", tmp_path))

    for text, there, plain in zip(TEXTS, steered, unsteered_there, strict=True):
        token_ids = torch.tensor([text])
        here = live(demo, preset, token_ids, len(text))[0, -1].log_softmax(-1)
        unsteered_here = live(demo, silent, token_ids, len(text))[0, -1].log_softmax(-1)
        moved, plainly = off(here, unsteered_here), off(plain, unsteered_here)
        print(f"llama.cpp, demo: off by {off(there, here):.1e}, unsteered {plainly:.1e}; ", end="")
        print(f"the vectors move it by {moved:.1f}")
        assert off(there, here) < 1e-3
        assert plainly < 1e-3
        assert moved > 1
