"""The model `steered` of lm-evaluation-harness steers by exported files as the app does."""

from pathlib import Path

import pytest
import torch
from lm_eval.models.hf_steered import SteeredModel
from tests.exports.comparing import off, unsteered, verify, wanted
from tests.exports.saved import save_with_tokenizer
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADDED, TEXTS, preset_of
from tests.workers.exporters.test_bundle import bundle

from scopebook_workers.exporters import lm_eval
from scopebook_workers.sae.edits import Edit

ENOUGH = 1e-4
EDITS = {**ADDED, 0: [Edit(12, "add", 1.0)]}


def told(folder: Path, file: Path) -> torch.Tensor:
    model = SteeredModel(
        pretrained=str(folder), steer_path=str(file), device="cpu", dtype="float32"
    )
    with torch.no_grad():
        found: torch.Tensor = model._model_call(torch.tensor(TEXTS[:1]))[0]
    return found


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5"])
def test_it_steers_as_the_app_does(family: str, tmp_path: Path) -> None:
    folder = save_with_tokenizer(tmp_path / "model", family)
    preset = preset_of(tiny_model(family), EDITS)
    lm_eval.write(preset, tmp_path)

    found = told(folder, tmp_path / "steering.pt")

    difference = off(found, wanted(preset, family=family))
    moved = off(found, unsteered(family=family))
    print(f"lm-eval, {family}: off by {difference:.1e}; the vectors move it by {moved:.1f}")
    assert difference < ENOUGH
    assert moved > 1
    lm_eval.write(preset_of(tiny_model(family), {2: ADDED[1], 3: ADDED[3]}), tmp_path)
    assert off(told(folder, tmp_path / "steering.pt"), wanted(preset, family=family)) > 1e-2


def test_its_verify_proves_it(tmp_path: Path) -> None:
    folder = save_with_tokenizer(tmp_path / "model")
    export = bundle("lm-eval", tmp_path / "export", EDITS)

    status, said = verify(export, "--model", str(folder))

    print(said)
    assert (status, said[:18]) == (0, "STEERS AS MEASURED")
