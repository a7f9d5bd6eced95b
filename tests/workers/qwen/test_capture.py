from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.tiny_models import FAMILIES, tiny_model
from torch import Tensor
from torch.testing import assert_close
from transformers import PreTrainedModel

from scopebook.errors import InvalidInputError
from scopebook_workers.qwen.capture import capture, cut_batches, run_to


def random_rows(*lengths: int) -> list[NDArray[np.int32]]:
    random = np.random.default_rng(7)
    return [random.integers(2, 400, length, dtype=np.int32) for length in lengths]


@torch.no_grad()
def plain_layers(model: PreTrainedModel, row: NDArray[np.int32]) -> dict[int, Tensor]:
    """Return each layer's output for one text, without hooks: as the next layer's input.

    The last one is what the final norm is given.
    """
    decoder: Any = model.get_decoder()  # type: ignore[no-untyped-call]
    seen: dict[int, Tensor] = {}
    originals = {}

    def replace(module: Any, place: int) -> None:
        originals[module] = module.forward

        def forward(hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
            seen[place] = hidden[0].clone()
            return originals[module](hidden, *args, **kwargs)

        module.forward = forward

    for place, layer in enumerate(decoder.layers):
        replace(layer, place - 1)
    replace(decoder.norm, len(decoder.layers) - 1)
    decoder(input_ids=torch.from_numpy(row.astype(np.int64))[None], use_cache=False)
    for module, original in originals.items():
        module.forward = original
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_give_what_each_text_gives_alone(family: str) -> None:
    model = tiny_model(family)
    rows = random_rows(9, 1, 30, 0, 9, 17)

    batches = list(capture(model, [1, 3], rows, batch_tokens=40))

    seen = []
    for batch in batches:
        start = 0
        for row, length in zip(batch.rows, batch.lengths, strict=True):
            alone = plain_layers(model, rows[row])
            for layer in (1, 3):
                got = batch.residuals[layer][start : start + length]
                # A wrong layer or a leak between texts differs by whole units.
                assert_close(got, alone[layer], rtol=2e-3, atol=2e-3)
            seen.append(row)
            start += length
        assert start == len(batch.residuals[1]) == len(batch.residuals[3])
    assert sorted(seen) == [0, 1, 2, 4, 5]


def test_nothing_after_the_last_wanted_layer_runs() -> None:
    model: Any = tiny_model()
    ran: list[str] = []
    for name in ("model.layers.2", "model.layers.3", "model.norm", "lm_head"):
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))

    list(capture(model, [1, 2], random_rows(5), batch_tokens=40))

    assert ran == ["model.layers.2"]


def hooks_left(model: Any) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_hooks_are_removed_after_a_batch_and_after_an_error() -> None:
    model = tiny_model()

    list(capture(model, [1], random_rows(5), batch_tokens=40))
    after_a_batch = hooks_left(model)
    with pytest.raises(IndexError):
        list(capture(model, [1], [np.asarray([10_000], dtype=np.int32)], batch_tokens=40))

    assert (after_a_batch, hooks_left(model)) == (0, 0)


def test_a_model_still_runs_whole_after_a_capture() -> None:
    model: Any = tiny_model("qwen3_5")
    tokens = torch.arange(2, 12)[None]
    before = model(tokens).logits

    list(capture(model, [0], random_rows(5), batch_tokens=40))

    assert_close(model(tokens).logits, before)


def test_the_same_rows_give_the_same_bits() -> None:
    model = tiny_model("qwen3_5")
    rows = random_rows(9, 3, 30, 12)

    first, second = (list(capture(model, [2], rows, batch_tokens=64)) for _ in range(2))

    assert all(
        torch.equal(one.residuals[2], two.residuals[2])
        for one, two in zip(first, second, strict=True)
    )


def test_a_layer_the_model_lacks_is_named() -> None:
    with pytest.raises(InvalidInputError, match="no layer 4; give some of its layers 0 to 3"):
        list(capture(tiny_model(), [1, 4], random_rows(5), batch_tokens=40))


def test_batches_hold_rows_of_like_length_and_few_enough_tokens() -> None:
    lengths = [5, 100, 3, 0, 5, 8, 2]

    batches = list(cut_batches(lengths, 20))

    assert batches == [[6, 2, 0, 4], [5], [1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_on_the_left_changes_nothing(family: str) -> None:
    model = tiny_model(family)
    token_ids = torch.arange(5, 17)[None]
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.int64), token_ids], dim=1)
    mask = torch.arange(16)[None] >= 4

    alone = run_to(model, [1, 3], token_ids, torch.ones_like(token_ids, dtype=torch.bool))
    left = run_to(model, [1, 3], padded, mask)

    for layer in (1, 3):
        assert_close(left[layer][:, 4:], alone[layer], rtol=1e-4, atol=1e-4)
