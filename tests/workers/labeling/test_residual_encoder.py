"""Residuals at firing tokens, against each context run alone by the plain model."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.tiny_models import FAMILIES, tiny_model
from transformers import PreTrainedModel

from scopebook_workers.labeling import residual_encoder
from scopebook_workers.labeling.residual_encoder import (
    DIMENSIONS,
    Place,
    ResidualEncoder,
    projection,
)
from scopebook_workers.sae.weights import SparseAutoencoder

LAYER = 1
PLACES = [
    *(Place(7, 5, 0), Place(7, 5, 3), Place(7, 0, 2), Place(40, 29, 1)),
    *(Place(3, 8, 0), Place(40, 2, 0), Place(7, 8, 4)),
]


def contexts() -> dict[int, NDArray[np.int32]]:
    random = np.random.default_rng(3)
    return {
        number: random.integers(2, 400, length, dtype=np.int32)
        for number, length in ((7, 9), (40, 30), (3, 17))
    }


def sae_of(d_model: int) -> SparseAutoencoder:
    weights = torch.randn(6, d_model, generator=torch.Generator().manual_seed(1))
    return SparseAutoencoder(weights, torch.zeros(6), 3 * weights, torch.zeros(d_model), 2)


def encoder(model: PreTrainedModel, batch_tokens: int = 64) -> ResidualEncoder:
    def tokens_of(wanted: Sequence[int]) -> dict[int, NDArray[np.int32]]:
        return {number: contexts()[number] for number in wanted}

    return ResidualEncoder(
        model,
        sae_of(model.config.get_text_config().hidden_size),
        layer=LAYER,
        name="tiny",
        tokens_of=tokens_of,
        batch_tokens=batch_tokens,
    )


@torch.no_grad()
def plain(model: PreTrainedModel, place: Place) -> NDArray[np.float64]:
    """Return what a place's vector is: the whole context alone, step by step."""
    row = torch.from_numpy(contexts()[place.context].astype(np.int64))[None]
    out = model(input_ids=row, output_hidden_states=True, use_cache=False)
    hidden = out.hidden_states[LAYER + 1][0, place.peak].double().numpy()
    direction = sae_of(len(hidden)).w_dec[place.feature].double().numpy()
    direction = direction / np.linalg.norm(direction)
    rest = hidden - hidden.dot(direction) * direction
    assert abs(rest.dot(direction)) < 1e-5
    rest = rest @ projection(len(hidden)).double().numpy()
    return rest / np.linalg.norm(rest)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dimensions", [256, 8], ids=["whole", "projected"])
def test_a_vector_is_the_residual_without_the_features_direction(
    family: str, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residual_encoder, "DIMENSIONS", dimensions)
    model = tiny_model(family)

    vectors = encoder(model).encode_places(PLACES)

    expected = np.stack([plain(model, place) for place in PLACES])
    np.testing.assert_allclose(vectors, expected, atol=2e-3)
    assert np.array_equal(vectors, vectors.astype(np.float16))


def test_each_context_is_run_once_for_all_its_places() -> None:
    model = tiny_model(FAMILIES[0])
    made = encoder(model)
    rows: list[int] = []
    layer = model.get_decoder().layers[0]  # type: ignore[no-untyped-call]
    layer.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))

    made.encode_places(PLACES)

    assert sum(rows) == 3


def test_a_projection_is_the_same_at_any_time_and_keeps_angles() -> None:
    width = 2_048
    drawn = projection(width)
    random = torch.Generator().manual_seed(5)
    first = torch.nn.functional.normalize(torch.randn(50, width, generator=random), dim=1)
    second = torch.nn.functional.normalize(
        first + 0.02 * torch.randn(50, width, generator=random), dim=1
    )

    cosines = torch.nn.functional.cosine_similarity(first @ drawn, second @ drawn)

    assert drawn.shape == (width, DIMENSIONS)
    assert torch.equal(drawn, projection(width))
    assert float((cosines - (first * second).sum(dim=1)).abs().max()) < 0.2
    assert torch.equal(projection(32), torch.eye(32))


def test_keys_tell_context_token_and_feature_apart() -> None:
    keys = {place.key for place in [*PLACES, Place(7, 4, 3), Place(8, 5, 3), Place(75, 0, 3)]}

    assert len(keys) == len(PLACES) + 3
    assert {len(key) for key in keys} == {16}
    assert Place(7, 5, 3).key in keys


def test_the_id_says_what_it_is_of() -> None:
    assert encoder(tiny_model(FAMILIES[0])).id == "residual of tiny, 32 numbers"
