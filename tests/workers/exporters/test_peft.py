"""The exported adapter, loaded by PEFT, against live steering."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADDED, TEXTS, preset_of
from tests.workers.exporters.test_transformers import live, logits

from scopebook_workers.exporters import peft
from scopebook_workers.sae.edits import Edit

TEXT = torch.tensor(TEXTS[:1])
EDITS = {**ADDED, 0: [Edit(12, "add", 1.0)]}


def adapted(family: str, folder: Path) -> Any:
    return PeftModel.from_pretrained(tiny_model(family), folder).eval()


def moved_up(folder: Path) -> None:
    """Give the vectors of a folder's adapter to the layers above their own."""
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = load_file(folder / "adapter_model.safetensors")
    for layer in (2, 1, 0):
        old, new = f".layers.{layer}.", f".layers.{layer + 1}."
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    config["target_modules"] = r"model\.layers\.(1|2|3)\.mlp\.down_proj"
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5"])
def test_an_adapter_is_live_steering_and_off_it_is_the_model(family: str, tmp_path: Path) -> None:
    model = tiny_model(family)
    base = logits(model, TEXT)
    preset = preset_of(model, EDITS)
    wanted = live(model, preset, TEXT, TEXT.shape[1])
    peft.write(preset, tmp_path)

    steered = adapted(family, tmp_path)

    found = logits(steered, TEXT)
    off = (found - wanted).abs().max()
    assert off < 1e-4
    assert (wanted - base).abs().max() > 1
    with steered.disable_adapter():
        assert torch.equal(logits(steered, TEXT), base)
    # Layer 3 has no layer above it: what is moved is layers 0 and 1.
    peft.write(preset_of(model, {n: EDITS[n] for n in (0, 1)}), tmp_path)
    moved_up(tmp_path)
    wanted = live(model, preset_of(model, {n: EDITS[n] for n in (0, 1)}), TEXT, TEXT.shape[1])
    assert (logits(adapted(family, tmp_path), TEXT) - wanted).abs().max() > 100 * off


def test_an_adapter_writes_what_live_steering_writes(tmp_path: Path) -> None:
    model = tiny_model()
    preset = preset_of(model, EDITS)
    peft.write(preset, tmp_path)
    written = TEXT
    for _ in range(6):
        best = live(model, preset, written, written.shape[1])[:, -1].argmax(-1, keepdim=True)
        written = torch.cat([written, best], dim=1)

    found = adapted("qwen3", tmp_path).generate(
        input_ids=TEXT, max_new_tokens=6, do_sample=False, eos_token_id=None
    )

    assert torch.equal(found, written)
