"""Variants that are written side by side: each as if it were alone, and as an uncached run is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_models import FAMILIES, save_tiny_model
from torch import Tensor

from scopebook.errors import InvalidInputError
from scopebook.steering import Positions
from scopebook_workers.inference.prompts import Prompt
from scopebook_workers.inference.residents import Resident, Residents
from scopebook_workers.inference.steered import (
    Measuring,
    SteeredWriting,
    Variant,
    WrittenToken,
    distinct_share,
)
from scopebook_workers.inference.writing import Sampling
from scopebook_workers.qwen.steer import steered
from scopebook_workers.qwen.tokenizer import cut_texts
from scopebook_workers.sae.edits import Edit, LayerEdits
from scopebook_workers.sae.weights import SparseAutoencoder

TOKENS = 8
LAYERS = (1, 2)


@pytest.fixture
def resident(tmp_path: Path, request: pytest.FixtureRequest) -> Resident:
    family = getattr(request, "param", "qwen3")
    return Residents(torch.device("cpu")).model(str(save_tiny_model(tmp_path / "m", family)))


def sae() -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(1)
    return SparseAutoencoder(
        w_enc=torch.randn(64, 32, generator=generator) / 4,
        b_enc=torch.zeros(64),
        w_dec=torch.randn(64, 32, generator=generator),
        b_dec=torch.zeros(32),
        k=8,
    )


SAES = {layer: sae() for layer in LAYERS}


def edits(strength: float) -> dict[int, list[Edit]]:
    of_layer = [Edit(3, "add", strength), Edit(8, "scale", strength)]
    return dict.fromkeys(LAYERS, of_layer)


def prompt(resident: Resident, text: str) -> Prompt:
    [(token_ids, spans)] = cut_texts(resident.tokenizer, [text])
    return Prompt(text, token_ids, spans)


def write(
    resident: Resident,
    *variants: Variant,
    positions: Positions | None = None,
    temperature: float = 0.0,
) -> list[list[WrittenToken]]:
    writing = SteeredWriting(
        resident,
        SAES,
        variants,
        positions=positions or Positions(),
        sampling=Sampling(tokens=TOKENS, temperature=temperature, seed=7),
    )
    while not writing.ended:
        writing.step()
    return writing.written


def ids(written: list[WrittenToken]) -> list[int]:
    return [token.id for token in written]


@torch.no_grad()
def uncached(
    resident: Resident, variant: Variant, positions: Positions, before: list[int]
) -> Tensor:
    """Return the logits after the prompt and what is written, run at once without a cache."""
    model: Any = resident.model
    begun = len(variant.prompt.token_ids)
    token_ids = torch.tensor([[*variant.prompt.token_ids.tolist(), *before]])
    where = torch.zeros_like(token_ids, dtype=torch.bool)
    if positions.prompt != "none":
        where[:, begun - 1 if positions.prompt == "last" else 0 : begun] = True
    where[:, begun:] = positions.written
    layers = {layer: LayerEdits(SAES[layer], [of]) for layer, of in variant.edits.items()}
    with steered(model, layers) as steering, steering.at(where):
        logits: Tensor = model(token_ids, use_cache=False).logits[0, -1]
    return logits[: len(resident.pieces)]


@pytest.mark.parametrize("resident", FAMILIES, indirect=True)
def test_each_token_is_the_likeliest_of_an_uncached_run_with_the_same_edits(
    resident: Resident,
) -> None:
    text, longer = prompt(resident, "the cat sat"), prompt(resident, "the dog ran to the mat and")
    variants = [
        Variant(prompt=text),
        Variant(prompt=longer),
        Variant(prompt=text, edits=edits(3.0)),
        Variant(prompt=text, edits=edits(-4.0)),
    ]

    found = write(resident, *variants)

    assert len({tuple(ids(row)) for row in found}) > 2
    for variant, row in zip(variants, found, strict=True):
        for place, token in enumerate(row):
            logits = uncached(resident, variant, Positions(), ids(row[:place]))
            assert int(logits.argmax()) == token.id == token.alternatives[0][0]
            likely = logits.softmax(0)
            assert token.probability == pytest.approx(float(likely[token.id]), abs=2e-3)


@pytest.mark.parametrize(
    "positions",
    [
        Positions(prompt="all", written=False),
        Positions(prompt="last", written=True),
        Positions(prompt="last", written=False),
        Positions(prompt="none", written=True),
    ],
)
def test_only_the_chosen_positions_are_steered(resident: Resident, positions: Positions) -> None:
    variant = Variant(prompt=prompt(resident, "the cat sat on"), edits=edits(3.0))

    [row] = write(resident, variant, positions=positions)

    for place, token in enumerate(row):
        logits = uncached(resident, variant, positions, ids(row[:place]))
        assert int(logits.argmax()) == token.id


def test_nothing_is_steered_where_no_position_is(resident: Resident) -> None:
    text = prompt(resident, "the cat sat on")
    nowhere = Positions(prompt="none", written=False)

    plain, steered_row = write(
        resident, Variant(prompt=text), Variant(prompt=text, edits=edits(9.0)), positions=nowhere
    )

    assert plain == steered_row


def test_tokens_that_stand_for_no_text_can_be_left_out(resident: Resident) -> None:
    text = prompt(resident, "<|endoftext|>")
    assert set(text.token_ids.tolist()) <= resident.special
    variants = Variant(prompt=text), Variant(prompt=text, edits=edits(9.0))

    everywhere = write(resident, *variants, positions=Positions(written=False))
    without = write(resident, *variants, positions=Positions(written=False, special=False))

    assert everywhere[0] == without[0] == without[1]
    assert ids(everywhere[1]) != ids(everywhere[0])


def test_a_seed_draws_the_same_for_every_variant(resident: Resident) -> None:
    text = prompt(resident, "the cat sat on")
    drawn = write(resident, *[Variant(prompt=text)] * 3, temperature=1.5)

    assert ids(drawn[0]) == ids(drawn[1]) == ids(drawn[2])
    assert ids(drawn[0]) != ids(write(resident, Variant(prompt=text))[0])


def test_the_hooks_are_gone_between_steps(resident: Resident) -> None:
    text = prompt(resident, "the cat sat on")
    before = write(resident, Variant(prompt=text))

    write(resident, Variant(prompt=text, edits=edits(9.0)))

    assert write(resident, Variant(prompt=text)) == before


def test_divergence_is_that_of_the_next_token_over_all_tokens(resident: Resident) -> None:
    texts = [prompt(resident, text).token_ids for text in ("the cat", "der Hund die Katze", "x")]
    model: Any = resident.model
    total, tokens = 0.0, 0
    with torch.no_grad():
        for text in texts:
            token_ids = torch.from_numpy(text.astype(np.int64))[None]
            p = model(token_ids).logits[0].double().softmax(-1)
            layers = {1: LayerEdits(SAES[1], [[Edit(3, "add", 2.0)]])}
            where = torch.ones_like(token_ids, dtype=torch.bool)
            with steered(model, layers) as steering, steering.at(where):
                q = model(token_ids).logits[0].double().softmax(-1)
            total += float((p * (p / q).log()).sum())
            tokens += len(text)

    variants = [{1: LayerEdits(SAES[1], [[Edit(3, "add", value)]])} for value in (2.0, 0.0)]
    measuring = Measuring(begun(resident), variants, texts)
    while not measuring.ended:
        measuring.step()
    found, none = measuring.found

    assert found == pytest.approx(total / tokens, rel=1e-3)
    assert none == pytest.approx(0.0, abs=1e-5)
    assert Measuring(begun(resident), variants, []).found == [None, None]


def begun(resident: Resident) -> SteeredWriting:
    return SteeredWriting(
        resident,
        SAES,
        [Variant(prompt=prompt(resident, "the"))],
        positions=Positions(),
        sampling=Sampling(tokens=1),
    )


def test_repetition_is_told_by_the_share_of_different_grams() -> None:
    assert distinct_share([1, 2, 3, 4]) == 1.0
    assert distinct_share([1, 1, 1, 2]) == 0.5
    assert distinct_share([1, 2, 1, 2, 1], of=2) == 0.5
    assert distinct_share([1], of=2) == 1.0


def test_numbers_that_are_no_longer_finite_are_told_of(resident: Resident) -> None:
    text = prompt(resident, "the cat sat on")
    too_much = {1: [Edit(3, "add", 3e38)]}

    with pytest.raises(InvalidInputError, match="no longer finite"):
        write(resident, Variant(prompt=text), Variant(prompt=text, edits=too_much))
