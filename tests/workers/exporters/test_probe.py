"""A probe is what live steering gives."""

import math
from typing import Any

import pytest
import torch
from tests.tiny_models import tiny_model
from tests.workers.exporters.making import ADD_AND_MORE, ADDED, TEXTS, preset_of

from scopebook.errors import InvalidInputError
from scopebook.steering import Positions
from scopebook_workers.exporters.probe import make_probe, prompt_tokens, steered_where
from scopebook_workers.sae.edits import Edit


def test_a_probe_holds_both_top_tens_and_how_far_they_moved() -> None:
    model: Any = tiny_model()

    probe = make_probe(model, preset_of(model, ADD_AND_MORE), TEXTS)

    assert (probe["dtype"], probe["tolerance"]) == ("float32", 2e-3)
    assert [prompt["token_ids"] for prompt in probe["prompts"]] == TEXTS
    for prompt in probe["prompts"]:
        with torch.no_grad():
            plain = model(input_ids=torch.tensor([prompt["token_ids"]])).logits[0, -1]
        plain = plain.log_softmax(-1)
        assert set(plain.topk(10).indices.tolist()) <= {one["id"] for one in prompt["top"]}
        assert 10 <= len(prompt["top"]) <= 20
        for one in prompt["top"]:
            assert one["unsteered"] == pytest.approx(float(plain[one["id"]]), abs=1e-4)
        steered = [one["steered"] for one in prompt["top"]]
        assert steered == sorted(steered, reverse=True)
        assert sum(math.exp(value) for value in steered) <= 1 + 1e-6
        changes = [abs(one["steered"] - one["unsteered"]) for one in prompt["top"]]
        assert prompt["max_change"] == pytest.approx(max(changes), abs=1e-5)
        assert prompt["max_change"] > 1


def test_a_part_of_a_text_counts_as_written_where_that_makes_a_difference() -> None:
    model = tiny_model()
    token_ids = torch.tensor([[1, 2, 3, 4, 5, 6]])

    for positions, end, where in (
        (Positions(), 6, "111111"),
        (Positions(special=False), 6, "101101"),
        (Positions(prompt="last"), 4, "000111"),
        (Positions(prompt="none"), 4, "000011"),
        (Positions(written=False), 4, "111100"),
    ):
        preset = preset_of(model, ADDED, positions=positions, special=frozenset({2, 5}))
        assert prompt_tokens(preset, 6) == end
        found = steered_where(preset, token_ids, end)[0]
        assert "".join(str(int(here)) for here in found) == where


@pytest.mark.parametrize("texts", [[], [[5]], [[5, 6], [7]]])
def test_too_little_text_is_refused(texts: list[list[int]]) -> None:
    model = tiny_model()

    with pytest.raises(InvalidInputError, match="two tokens or more each"):
        make_probe(model, preset_of(model, ADDED), texts)


def test_numbers_that_are_no_longer_finite_are_refused() -> None:
    model = tiny_model()

    with pytest.raises(InvalidInputError, match="no longer finite"):
        make_probe(model, preset_of(model, {1: [Edit(1, "add", 3e38)]}), TEXTS)
