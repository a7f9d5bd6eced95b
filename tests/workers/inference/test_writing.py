"""A text that the model goes on with: the same whatever is around it, and spelled right."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.tiny_models import FAMILIES
from tests.workers.inference.conftest import Asking

from scopebook.inference_requests import GoingOn
from scopebook_workers.inference import service
from scopebook_workers.inference.writing import spell

GOING_ON = GoingOn(tokens=8)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_what_the_whole_text_makes_likeliest(
    make_asking: Callable[..., Asking], family: str
) -> None:
    found = make_asking(family).run("the cat sat on", going_on=GOING_ON)

    resident = service._residents()._resident
    assert resident is not None
    begun = len(found.token_ids) - found.written[0]
    for place in range(begun, len(found.token_ids)):
        before = torch.from_numpy(found.token_ids[:place].astype(np.int64))[None]
        with torch.no_grad():
            logits = resident.model(before, use_cache=False).logits[0, -1]
        assert int(logits[: len(resident.pieces)].argmax()) == found.token_ids[place]


def test_what_is_written_fires_what_the_same_tokens_fire_in_a_text(asking: Asking) -> None:
    found = asking.run("the cat sat on", going_on=GOING_ON)

    assert found.position[-1] == len(found.token_ids) - 1
    assert all(len(layer.token) for layer in found.layers.values())
    assert max(found.layers[3].token) == len(found.token_ids) - 1


def test_the_same_seed_writes_the_same_and_another_does_not(asking: Asking) -> None:
    drawn = [
        asking.run("the cat", going_on=GoingOn(tokens=12, temperature=1.5, seed=seed)).texts[0]
        for seed in (1, 1, 2)
    ]

    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("pieces", "text", "spans"),
    [
        ([b"the", b" cat"], "the cat", [(0, 3), (3, 7)]),
        ([b"a\xe4", b"\xb8\xad", b"b"], "a中b", [(0, 2), (1, 2), (2, 3)]),
        ([b"\xf0\x9f", b"\x8e", b"\x89"], "🎉", [(0, 1), (0, 1), (0, 1)]),
        ([b"x", b"\xe4\xb8"], "x�", [(0, 1), (1, 2)]),
        ([b"\xff", b"y"], "�y", [(0, 1), (1, 2)]),
    ],
)
def test_tokens_that_share_a_character_all_have_it(
    pieces: list[bytes], text: str, spans: list[tuple[int, int]]
) -> None:
    found, of_tokens = spell(pieces)

    assert found == text
    assert [tuple(span) for span in of_tokens.tolist()] == spans
