"""Edits of the residual stream and the judge of what was written."""

import numpy as np
import torch

from scopebook_demo.sae import Sae, encode, write_back
from scopebook_demo.steering import TokenJudge, mute, push
from scopebook_demo.tokenizer import Packed


def random_sae() -> Sae:
    generator = torch.Generator().manual_seed(0)
    decoder = torch.randn(6, 12, generator=generator)
    decoder = decoder / decoder.norm(dim=0)
    return Sae(decoder.T.clone(), decoder, torch.zeros(12), torch.zeros(6), k=3)


def test_a_push_has_the_asked_length_at_every_position() -> None:
    h = torch.randn(2, 5, 6)

    moved = push(random_sae(), [1, 4], length=2.5)(h) - h

    assert torch.allclose(moved.norm(dim=-1), torch.full((2, 5), 2.5), atol=1e-5)


def test_muting_takes_away_the_features_own_share_only() -> None:
    sae = random_sae()
    h = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    values, features = encode(sae, h.flatten(0, 1))
    feature = int(features[0, 0])

    taken = (h - mute(sae, [feature])(h)).flatten(0, 1)

    expected = write_back(sae, values * (features == feature), features)
    assert torch.allclose(taken, expected, atol=1e-5)


def test_muting_nothing_changes_nothing() -> None:
    h = torch.randn(1, 4, 6)

    assert torch.equal(mute(random_sae(), [])(h), h)


def test_the_judge_knows_each_concept_by_its_tokens() -> None:
    packed = Packed(
        np.array([5, 6, 5, 8, 9, 9], np.uint16), np.array([0, 0, 0, 1, 1, 1], np.uint8), ("a", "b")
    )
    judge = TokenJudge(packed, {"a": "Alpha", "b": "Beta"}, ("Alpha", "Beta"), vocabulary=12)

    assert judge.judge([5, 5, 6]) == "Alpha"
    assert judge.judge([9, 0, 0]) == "Beta"
