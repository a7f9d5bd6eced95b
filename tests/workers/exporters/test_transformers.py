"""The exported hook against live steering, and against encode, edit, decode in float64."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tests.tiny_models import tiny_model, tiny_multimodal_model
from tests.workers.exporters.making import ADD_AND_MORE, ADDED, TEXTS, preset_of, random_sae
from tests.workers.exporters.plain_modules import module_from
from tests.workers.sae.test_edits import by_reconstruction
from torch import Tensor
from torch.testing import assert_close
from transformers import DynamicCache, PreTrainedModel

from scopebook.errors import InvalidInputError
from scopebook.steering import Positions
from scopebook_workers.exporters import transformers
from scopebook_workers.exporters.compiled import CompiledPreset
from scopebook_workers.exporters.probe import steered_where
from scopebook_workers.qwen.steer import real_positions
from scopebook_workers.qwen.steer import steered as steered_live
from scopebook_workers.sae.edits import Edit, LayerEdits

TEXT = torch.tensor(TEXTS[:1])
PROMPT = 7
SPECIAL = frozenset({7, 23, 200})
EXACT = {"rtol": 0, "atol": 1e-5}
DENSE = ("qwen3", "qwen3_5")
POSITIONS = [
    Positions(),
    Positions(prompt="last"),
    Positions(prompt="none"),
    Positions(written=False),
    Positions(prompt="last", written=False),
    Positions(special=False),
    Positions(prompt="none", special=False),
]


@contextmanager
def exported(
    model: PreTrainedModel, preset: CompiledPreset, folder: Path, prompt_tokens: int | None = None
) -> Iterator[ModuleType]:
    transformers.write(preset, folder)
    hook = module_from(folder / "steer_hook.py")
    with hook.steered(model, folder, prompt_tokens):
        yield hook


@torch.no_grad()
def logits(model: PreTrainedModel, token_ids: Tensor, **more: Any) -> Tensor:
    untyped: Any = model
    found: Tensor = untyped(input_ids=token_ids, **more).logits
    return found


def live(model: PreTrainedModel, preset: CompiledPreset, token_ids: Tensor, end: int) -> Tensor:
    """Return the logits of texts without padding as the app steers them."""
    layers = {n: LayerEdits(layer.sae, [layer.edits]) for n, layer in preset.layers.items()}
    where = steered_where(preset, token_ids, end)
    with steered_live(model, layers) as steering, steering.at(where):
        return logits(model, token_ids)


@pytest.mark.parametrize("kind", ["topk", "threshold", "relu"])
@pytest.mark.parametrize("family", DENSE)
def test_the_hook_is_live_steering_by_every_operation_and_rule(
    family: str, kind: str, tmp_path: Path
) -> None:
    model = tiny_model(family)
    preset = preset_of(model, ADD_AND_MORE, kind=kind)
    wanted = live(model, preset, TEXT, PROMPT)

    with exported(model, preset, tmp_path):
        found = logits(model, TEXT)

    assert_close(found, wanted, **EXACT)
    assert (wanted - logits(model, TEXT)).abs().max() > 1


@pytest.mark.parametrize("op", ["add", "set", "min_set", "ablate", "scale", "project"])
def test_each_operation_does_what_it_does_live(op: Any, tmp_path: Path) -> None:
    model = tiny_model()
    edits = [Edit(feature, op, 0.5, -1.5) for feature in range(12)]
    preset = preset_of(model, {0: edits, 3: edits[:3]})

    with exported(model, preset, tmp_path):
        found = logits(model, TEXT)

    assert_close(found, live(model, preset, TEXT, PROMPT), **EXACT)
    assert (found - logits(model, TEXT)).abs().max() > 0.1


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("family", DENSE)
def test_positions_are_those_of_live_steering_with_and_without_a_cache_and_in_chunks(
    family: str, positions: Positions, tmp_path: Path
) -> None:
    model = tiny_model(family)
    preset = preset_of(model, ADD_AND_MORE, positions=positions, special=SPECIAL)
    wanted = live(model, preset, TEXT, PROMPT)

    with exported(model, preset, tmp_path, PROMPT):
        at_once = logits(model, TEXT)
        untyped: Any = model
        cache = DynamicCache(config=untyped.config.get_text_config())
        pieces = [
            logits(model, TEXT[:, start:end], past_key_values=cache, use_cache=True)
            for start, end in ((0, 4), (4, 8), (8, 9), (9, 12))
        ]

    assert_close(at_once, wanted, **EXACT)
    assert_close(torch.cat(pieces, dim=1), wanted, rtol=0, atol=1e-4)
    assert (wanted - logits(model, TEXT)).abs().max() > 0.1


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("family", DENSE)
def test_rows_padded_on_the_left_are_steered_as_if_each_were_alone(
    family: str, positions: Positions, tmp_path: Path
) -> None:
    model = tiny_model(family)
    preset = preset_of(model, ADD_AND_MORE, positions=positions, special=SPECIAL)
    lengths = [12, 8, 9]
    mask = real_positions(lengths, 12)
    batch = torch.where(mask, TEXT.expand(3, -1), 0)

    with exported(model, preset, tmp_path, PROMPT):
        together = logits(model, batch, attention_mask=mask.to(torch.int64))

    for row, length in enumerate(lengths):
        skipped = 12 - length
        alone = live(model, preset, batch[row : row + 1, skipped:], PROMPT - skipped)
        assert_close(together[row, skipped:], alone[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("family", DENSE)
@pytest.mark.parametrize("cache", [True, False])
def test_what_generate_writes_is_what_live_steering_writes(
    family: str, positions: Positions, cache: bool, tmp_path: Path
) -> None:
    model = tiny_model(family)
    preset = preset_of(model, ADD_AND_MORE, positions=positions, special=SPECIAL)
    written = TEXT
    for _ in range(6):
        best = live(model, preset, written, 12)[:, -1].argmax(-1, keepdim=True)
        written = torch.cat([written, best], dim=1)

    untyped: Any = model
    with exported(model, preset, tmp_path, 12):
        found = untyped.generate(
            TEXT, max_new_tokens=6, do_sample=False, use_cache=cache, eos_token_id=None
        )

    assert torch.equal(found, written)


def test_a_model_that_also_sees_images_is_steered_and_its_special_tokens_are_known(
    tmp_path: Path,
) -> None:
    model = tiny_multimodal_model()
    preset = preset_of(model, ADD_AND_MORE, positions=Positions(special=False), special=SPECIAL)

    with exported(model, preset, tmp_path):
        found = logits(model, TEXT)

    assert_close(found, live(model, preset, TEXT, PROMPT), **EXACT)


@pytest.mark.parametrize("op", ["add", "set", "min_set", "ablate", "scale"])
def test_a_layers_change_is_what_decoding_the_edited_features_gives(
    op: Any, tmp_path: Path
) -> None:
    model = tiny_model()
    sae = random_sae(seed=2)
    resid = torch.randn(40, 32, generator=torch.Generator().manual_seed(5))
    preset = preset_of(model, {2: [Edit(feature, op, 0.75) for feature in range(16)]})
    transformers.write(preset, tmp_path)
    hook = module_from(tmp_path / "steer_hook.py")

    [layer] = hook.layers_of(tmp_path).values()

    wanted = by_reconstruction(sae, resid, dict.fromkeys(range(16), (op, 0.75)))
    assert_close((resid + layer.change(resid)).double(), wanted, rtol=1e-5, atol=1e-5)
    assert (wanted - resid.double()).abs().max() > 0.1


def test_the_hooks_go_whatever_happens(tmp_path: Path) -> None:
    model = tiny_model()
    before = logits(model, TEXT)

    with (
        pytest.raises(KeyboardInterrupt),
        exported(model, preset_of(model, ADDED), tmp_path),
    ):
        raise KeyboardInterrupt

    assert torch.equal(logits(model, TEXT), before)


def test_another_model_and_an_unknown_end_of_the_prompt_are_refused(tmp_path: Path) -> None:
    model = tiny_model()
    transformers.write(preset_of(model, ADDED, positions=Positions(prompt="last")), tmp_path)
    hook = module_from(tmp_path / "steer_hook.py")
    other = tiny_model()
    other.config.num_hidden_layers = 5

    with (
        pytest.raises(ValueError, match=r"Tiny/Qwen3 with 4 layers .* has 5 of width 32: load"),
        hook.steered(other, tmp_path),
    ):
        pass
    with (
        pytest.raises(ValueError, match="give prompt_tokens, its length with padding"),
        hook.steered(model, tmp_path),
    ):
        pass


def test_prompts_padded_on_the_right_are_refused_where_their_last_token_counts(
    tmp_path: Path,
) -> None:
    model = tiny_model()
    mask = torch.ones_like(TEXT)
    mask[:, -3:] = 0

    with (
        exported(model, preset_of(model, ADDED, positions=Positions(prompt="last")), tmp_path, 12),
        pytest.raises(ValueError, match=r"position 11 should be the last .* pad on the left"),
    ):
        logits(model, TEXT, attention_mask=mask)


def test_embeddings_are_refused_where_special_tokens_are_left_out(tmp_path: Path) -> None:
    model = tiny_model()
    preset = preset_of(model, ADDED, positions=Positions(special=False), special=SPECIAL)
    untyped: Any = model
    embedded = untyped.get_input_embeddings()(TEXT)

    with (
        exported(model, preset, tmp_path),
        pytest.raises(ValueError, match="run it on input_ids"),
    ):
        untyped(inputs_embeds=embedded)


def test_special_tokens_that_nobody_named_cannot_be_left_out(tmp_path: Path) -> None:
    preset = preset_of(tiny_model(), ADDED, positions=Positions(special=False))

    with pytest.raises(InvalidInputError, match="its tokenizer has none"):
        transformers.write(preset, tmp_path)
