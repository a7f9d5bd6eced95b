"""Steering while a model runs: caches, chunks, padding and batches change nothing."""

from typing import Any

import pytest
import torch
from tests.tiny_models import FAMILIES, tiny_model
from torch import Tensor
from torch.testing import assert_close
from transformers import DynamicCache, PreTrainedModel

from scopebook.errors import InvalidInputError
from scopebook_workers.qwen.steer import Steering, real_positions, steered
from scopebook_workers.sae.edits import Edit, LayerEdits
from scopebook_workers.sae.weights import SparseAutoencoder

TEXT = torch.tensor([[5, 9, 30, 41, 7, 7, 100, 23, 61, 12, 200, 3]])
#: Two layers, one with an operation that reads the residual.
FEATURES = (3, 8)
TOLERANCE = {"rtol": 1e-3, "atol": 1e-3}


def sae() -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(1)
    return SparseAutoencoder(
        w_enc=torch.randn(64, 32, generator=generator) / 4,
        b_enc=torch.zeros(64),
        w_dec=torch.randn(64, 32, generator=generator),
        b_dec=torch.zeros(32),
        k=8,
    )


def changes(*strengths: float) -> dict[int, LayerEdits]:
    """Return edits of layers 1 and 2, a row for each strength."""
    one, two = FEATURES
    rows = [[Edit(one, "add", value), Edit(two, "scale", value)] for value in strengths]
    return {layer: LayerEdits(sae(), rows) for layer in (1, 2)}


def everywhere(token_ids: Tensor) -> Tensor:
    return torch.ones_like(token_ids, dtype=torch.bool)


@torch.no_grad()
def logits(
    model: PreTrainedModel, steering: Steering, token_ids: Tensor, where: Tensor, **more: Any
) -> Tensor:
    untyped: Any = model
    with steering.at(where):
        found: Tensor = untyped(input_ids=token_ids, **more).logits
    return found


@torch.no_grad()
def plain(model: PreTrainedModel, token_ids: Tensor) -> Tensor:
    untyped: Any = model
    found: Tensor = untyped(input_ids=token_ids).logits
    return found


def by_hand(model: PreTrainedModel, token_ids: Tensor, where: Tensor) -> Tensor:
    """Run the layers one after the other and change their outputs in between."""
    untyped: Any = model
    kept: dict[int, Tensor] = {}
    edits = changes(2.0)

    def replace(layer: int) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> Any:
            found = output[0] if isinstance(output, tuple) else output
            for position in where[0].nonzero().flatten().tolist():
                residual = found[0, position : position + 1]
                more = edits[layer].change(residual, torch.zeros(1, dtype=torch.int64))
                found[0, position] = residual[0] + more[0]
            kept[layer] = found
            return (found, *output[1:]) if isinstance(output, tuple) else found

        return hook

    handles = [untyped.model.layers[n].register_forward_hook(replace(n)) for n in (1, 2)]
    found = plain(model, token_ids)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_changed_at_the_chosen_positions_and_the_upper_sees_the_lower(
    family: str,
) -> None:
    model = tiny_model(family)
    where = everywhere(TEXT)
    where[0, :3] = False
    before = plain(model, TEXT)

    with steered(model, changes(2.0)) as steering:
        found = logits(model, steering, TEXT, where)

    assert_close(found, by_hand(model, TEXT, where), **TOLERANCE)
    assert_close(found[0, :3], before[0, :3], **TOLERANCE)
    assert (found[0, 3:] - before[0, 3:]).abs().max() > 0.1
    assert torch.equal(plain(model, TEXT), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_and_a_prompt_in_chunks_give_what_one_run_gives(family: str) -> None:
    model = tiny_model(family)
    where = everywhere(TEXT)
    where[0, 4:6] = False

    with steered(model, changes(2.0)) as steering:
        wanted = logits(model, steering, TEXT, where)
        cache = DynamicCache(config=model.config.get_text_config())
        pieces = []
        for start, end in ((0, 5), (5, 8), (8, 9), (9, 10), (10, 12)):
            part = (TEXT[:, start:end], where[:, start:end])
            pieces.append(logits(model, steering, *part, past_key_values=cache, use_cache=True))

    assert_close(torch.cat(pieces, dim=1), wanted, **TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_a_batch_padded_on_the_left_are_steered_as_if_each_were_alone(family: str) -> None:
    model = tiny_model(family)
    lengths, strengths = [12, 7, 9], [2.0, -1.0, 0.5]
    mask = real_positions(lengths, 12)
    batch = torch.where(mask, TEXT[:, :12].expand(3, -1), 0)

    with steered(model, changes(*strengths)) as steering:
        together = logits(model, steering, batch, mask, attention_mask=mask.to(torch.int64))

    for row, (length, strength) in enumerate(zip(lengths, strengths, strict=True)):
        text = batch[row : row + 1, 12 - length :]
        with steered(model, changes(strength)) as steering:
            alone = logits(model, steering, text, everywhere(text))
        assert_close(together[row, 12 - length :], alone[0], **TOLERANCE)


def test_the_hooks_go_whatever_happens() -> None:
    model = tiny_model()
    before = plain(model, TEXT)

    with pytest.raises(KeyboardInterrupt), steered(model, changes(2.0)):
        raise KeyboardInterrupt
    with (
        pytest.raises(ValueError, match="where to steer was said of"),
        steered(model, changes(2.0)) as steering,
    ):
        logits(model, steering, TEXT, everywhere(TEXT)[:, :4])

    assert torch.equal(plain(model, TEXT), before)


def test_a_run_that_nobody_said_where_to_steer_is_refused() -> None:
    model = tiny_model()

    with steered(model, changes(2.0)), pytest.raises(RuntimeError, match="outside of `at`"):
        plain(model, TEXT)


def test_a_layer_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(InvalidInputError, match="no layer 4; give some of its layers 0 to 3"),
        steered(tiny_model(), {4: changes(1.0)[1]}),
    ):
        pass
