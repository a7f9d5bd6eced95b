"""Edits as changes of the residual, held against encode, edit, decode in float64."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.workers.sae.test_encode import plain_encode, random_resid, random_sae
from torch import Tensor
from torch.testing import assert_close

from scopebook_workers.sae.edits import Edit, LayerEdits
from scopebook_workers.sae.weights import SparseAutoencoder

TOKENS = 40


def firing(sae: SparseAutoencoder, resid: Tensor) -> list[int]:
    """Return features, the most frequent first, and at last one that never fires."""
    counts = torch.zeros(sae.d_sae)
    for token in plain_encode(resid, sae):
        for feature, _ in token:
            counts[feature] += 1
    by_count = counts.argsort(descending=True).tolist()
    assert 0 < counts[by_count[0]] < len(resid)
    return [*by_count[:6], by_count[-1]]


def by_reconstruction(
    sae: SparseAutoencoder, resid: Tensor, edits: Mapping[int, tuple[str, float]]
) -> Tensor:
    """Encode, edit, decode, and put back what the SAE had not explained, token by token."""
    steered = []
    for h, token in zip(resid.double(), plain_encode(resid, sae), strict=True):
        before = torch.zeros(sae.d_sae, dtype=torch.float64)
        for feature, value in token:
            before[feature] = value
        after = before.clone()
        for feature, (op, value) in edits.items():
            now = float(before[feature])
            after[feature] = {
                "add": now + value,
                "set": value,
                "min_set": max(now, value),
                "ablate": 0.0,
                "scale": now * value,
            }[op]
        unexplained = h - (before @ sae.w_dec.double() + sae.b_dec.double())
        steered.append(after @ sae.w_dec.double() + sae.b_dec.double() + unexplained)
    return torch.stack(steered)


def changed(sae: SparseAutoencoder, resid: Tensor, *edits: Edit) -> Tensor:
    layer = LayerEdits(sae, [edits])
    return resid + layer.change(resid, torch.zeros(len(resid), dtype=torch.int64))


@pytest.mark.parametrize(
    ("op", "value"),
    [("add", -3.5), ("set", 2.0), ("min_set", 1.5), ("ablate", 0.0), ("scale", 2.5)],
)
def test_an_edit_is_what_decoding_the_edited_features_gives(op: str, value: float) -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    for feature in firing(sae, resid):
        wanted = by_reconstruction(sae, resid, {feature: (op, value)})

        found = changed(sae, resid, Edit(feature, op, value))  # type: ignore[arg-type]

        assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


def test_several_edits_are_made_from_the_unedited_residual() -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    one, two, three, four, five, _, silent = firing(sae, resid)
    edits = {
        one: ("ablate", 0.0),
        two: ("scale", -1.0),
        three: ("min_set", 2.0),
        four: ("add", 1.25),
        five: ("set", 0.5),
        silent: ("set", 3.0),
    }

    found = changed(sae, resid, *(Edit(f, op, v) for f, (op, v) in edits.items()))  # type: ignore[arg-type]

    assert_close(found.double(), by_reconstruction(sae, resid, edits), rtol=1e-5, atol=1e-5)
    after_another = changed(sae, changed(sae, resid, Edit(four, "add", 5.0)), Edit(one, "ablate"))
    at_once = changed(sae, resid, Edit(four, "add", 5.0), Edit(one, "ablate"))
    assert (after_another - at_once).abs().max() > 1e-2


def test_a_feature_that_is_not_among_the_strongest_counts_as_silent() -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    pre_acts = resid @ sae.w_enc.T + sae.b_enc
    fires = [{feature for feature, _ in token} for token in plain_encode(resid, sae)]
    token, feature = next(
        (token, feature)
        for token in range(TOKENS)
        for feature in range(sae.d_sae)
        if pre_acts[token, feature] > 0 and feature not in fires[token]
    )

    found = changed(sae, resid, Edit(feature, "ablate"))

    assert torch.equal(found[token], resid[token])


def test_nothing_is_changed_by_edits_that_say_nothing() -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    feature = firing(sae, resid)[0]

    for edit in (Edit(feature, "add", 0.0), Edit(feature, "scale", 1.0)):
        assert torch.equal(changed(sae, resid, edit), resid)


@pytest.mark.parametrize("op", ["add", "set", "min_set", "ablate", "scale", "project"])
def test_a_strength_multiplies_the_change(op: Any) -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    feature = firing(sae, resid)[0]
    value = 0.25 if op == "project" else 2.0
    whole = changed(sae, resid, Edit(feature, op, value)) - resid

    for strength in (0.0, 0.5, -2.0):
        found = changed(sae, resid, Edit(feature, op, value, strength)) - resid
        assert_close(found, strength * whole, rtol=1e-4, atol=1e-4)


def test_a_projection_takes_the_direction_out_everywhere_and_is_no_ablation() -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    feature = firing(sae, resid)[0]
    unit = sae.w_dec[feature] / sae.w_dec[feature].norm()

    out = changed(sae, resid, Edit(feature, "project", 0.0))
    half = changed(sae, resid, Edit(feature, "project", 0.5))

    assert_close(out @ unit, torch.zeros(TOKENS), rtol=0, atol=1e-5)
    assert_close(half @ unit, (resid @ unit) / 2, rtol=1e-4, atol=1e-5)
    ablated = changed(sae, resid, Edit(feature, "ablate"))
    assert (ablated - out).norm() > (ablated - resid).norm() / 2


def test_projections_of_several_features_are_one_of_their_space() -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    sae.w_dec[4] = 2 * sae.w_dec[3]
    features = [3, 4, 8]

    out = changed(sae, resid, *(Edit(feature, "project", 0.0) for feature in features))

    assert_close(out @ sae.w_dec[features].T, torch.zeros(TOKENS, 3), rtol=0, atol=1e-4)
    again = changed(sae, out, *(Edit(feature, "project", 0.0) for feature in features))
    assert_close(again, out, rtol=1e-5, atol=1e-5)


def test_rows_of_a_batch_have_values_of_their_own() -> None:
    sae, resid = random_sae(), random_resid(TOKENS)
    one, two, three, *_ = firing(sae, resid)
    row = torch.arange(TOKENS) % 3
    rows = [
        [Edit(one, "add", v), Edit(two, "scale", v), Edit(three, "project", v)]
        for v in (-2.0, 0.0, 1.5)
    ]

    found = resid + LayerEdits(sae, rows).change(resid, row)

    for place, edits in enumerate(rows):
        assert_close(found[row == place], changed(sae, resid, *edits)[row == place])


def test_what_is_added_whatever_the_residual_is_can_be_taken_away() -> None:
    sae = random_sae()
    added = LayerEdits(sae, [[Edit(1, "add", 1e8), Edit(2, "add", 1.0), Edit(5, "add", -1e8)]])
    sum_of_three = 1e8 * sae.w_dec[1].double() + sae.w_dec[2].double() - 1e8 * sae.w_dec[5].double()

    assert added.vectors is not None
    assert torch.equal(added.vectors[0], sum_of_three.float())
    for op in ("set", "min_set", "ablate", "scale", "project"):
        assert LayerEdits(sae, [[Edit(1, op, 1.0)]]).vectors is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[Edit(0, "add", 1.0)], [Edit(1, "add", 1.0)]], "values alone"),
        ([[Edit(0, "add", 1.0), Edit(0, "ablate")]], "edited once"),
        ([[Edit(96, "add", 1.0)]], "numbered 0 to 95"),
        ([[Edit(-1, "add", 1.0)]], "numbered 0 to 95"),
        ([[Edit(0, "project", 0.0), Edit(1, "project", 0.5)]], "share one value"),
    ],
)
def test_what_is_no_edit_is_refused(rows: list[list[Edit]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LayerEdits(random_sae(), rows)
