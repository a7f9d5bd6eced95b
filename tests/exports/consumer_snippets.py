"""The snippets steer in their libraries as the app does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.exports.comparing import off, unsteered, wanted
from tests.exports.saved import save_with_tokenizer
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADDED, TEXTS, preset_of
from tests.workers.exporters.plain_modules import module_from
from tests.workers.exporters.test_transformers import live
from torch import Tensor

from scopebook_workers.exporters import snippets
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.sae.edits import Edit

ENOUGH = 1e-4
TEXT = torch.tensor(TEXTS[:1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_with_tokenizer(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def preset() -> CompiledPreset:
    return preset_of(tiny_model(), {**ADDED, 0: [Edit(12, "add", 1.0)]})


@pytest.fixture(scope="module")
def export(preset: CompiledPreset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    export = tmp_path_factory.mktemp("export")
    snippets.write(preset, export)
    return export


def holds(name: str, found: Tensor, preset: CompiledPreset) -> None:
    difference = off(found, wanted(preset))
    print(f"{name}: off by {difference:.1e}; the vectors move it by {off(found, unsteered()):.1f}")
    assert difference < ENOUGH
    assert off(found, unsteered()) > 1


def greedy(preset: CompiledPreset, tokens: int) -> list[int]:
    written = list(TEXTS[0])
    for _ in range(tokens):
        after = live(tiny_model(), preset, torch.tensor([written]), len(written))[0, -1]
        written.append(int(after.argmax()))
    return written


@pytest.mark.parametrize("file", ["with_transformer_lens.py", "with_sae_lens.py"])
def test_transformer_lens(file: str, folder: Path, export: Path, preset: CompiledPreset) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    model: Any = TransformerBridge.boot_transformers(str(folder), device="cpu")

    with torch.no_grad(), module_from(export / file).steered(model):
        found = model(TEXT)[0]

    holds(f"TransformerLens, {file}", found, preset)


def test_nnsight_reads_and_writes(folder: Path, export: Path, preset: CompiledPreset) -> None:
    from nnsight import LanguageModel

    snippet = module_from(export / "with_nnsight.py")
    model: Any = LanguageModel(str(folder), device_map="cpu", dispatch=True)

    with model.trace(TEXT):
        snippet.steer(model)
        found = model.lm_head.output[0].save()
    with model.generate(TEXT, max_new_tokens=4, do_sample=False, eos_token_id=None) as tracer:
        for _step in tracer.iter[:4]:
            snippet.steer(model)
        written = tracer.result.save()

    holds("nnsight", found.detach(), preset)
    assert written[0].tolist() == greedy(preset, 4)


def test_pyvene(folder: Path, export: Path, preset: CompiledPreset) -> None:
    steered = module_from(export / "with_pyvene.py").steerable(tiny_model())

    _, answer = steered(base={"input_ids": TEXT}, unit_locations=None)

    holds("pyvene", answer.logits[0].detach(), preset)
