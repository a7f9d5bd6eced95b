"""Activations of chosen features, held against the whole SAE encoded one number at a time."""

import pytest
import torch
from tests.workers.sae import test_threshold
from tests.workers.sae.test_encode import plain_encode, random_resid, random_sae
from torch import Tensor
from torch.testing import assert_close

from scopebook.errors import InvalidInputError
from scopebook_workers.sae.chosen import activations_of
from scopebook_workers.sae.weights import SparseAutoencoder

CHOSEN = torch.tensor([40, 3, 3, 95, 0])


def of_plain(resid: Tensor, sae: SparseAutoencoder) -> Tensor:
    whole = torch.zeros(len(resid), sae.d_sae)
    for token, fires in enumerate(plain_encode(resid, sae)):
        for feature, value in fires:
            whole[token, feature] = value
    return whole


@pytest.mark.parametrize("bias", [0.0, -9.0])
def test_it_is_what_the_whole_sae_says_of_them(bias: float) -> None:
    sae, resid = random_sae(bias=bias), random_resid(300)
    wanted = of_plain(resid, sae)
    assert 0 < int((wanted[:, CHOSEN] > 0).sum()) < wanted[:, CHOSEN].numel()

    found = activations_of(resid, sae, CHOSEN)

    assert_close(found, wanted[:, CHOSEN])


def test_of_equal_features_the_lower_take_the_places_left() -> None:
    sae = random_sae()
    half = torch.arange(96) % 48  # each feature has a twin, so that some share the last place
    twins = SparseAutoencoder(
        sae.w_enc[half].contiguous(), sae.b_enc[half].contiguous(), sae.w_dec, sae.b_dec, k=5
    )
    resid = random_resid(200)
    everything = torch.arange(96)

    found = activations_of(resid, twins, everything)

    assert_close(found, of_plain(resid, twins))
    lower, upper = found[:, :48] > 0, found[:, 48:] > 0
    assert (lower & ~upper).any()
    assert not (upper & ~lower).any()


@pytest.mark.parametrize("thresholds", [None, test_threshold.mixed_thresholds()])
def test_without_a_k_it_is_what_the_threshold_lets_through(thresholds: Tensor | None) -> None:
    sae = test_threshold.random_sae(thresholds=thresholds)
    resid = test_threshold.random_resid(300)
    whole = torch.zeros(len(resid), sae.d_sae)
    for token, feature, value in test_threshold.plainly_active(resid, sae):
        whole[token, feature] = value
    chosen = torch.arange(0, sae.d_sae, 3)
    assert whole[:, chosen].any()

    found = activations_of(resid, sae, chosen)

    assert_close(found, whole[:, chosen])


def test_where_the_text_is_cut_into_tiles_does_not_matter() -> None:
    sae, resid = random_sae(), random_resid(50)

    tiled = activations_of(resid, sae, CHOSEN, scratch_bytes=4 * sae.d_sae * 7)

    assert_close(tiled, activations_of(resid, sae, CHOSEN))


@pytest.mark.parametrize("k", [8, None])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_residual_that_is_not_finite_is_refused_by_its_token(value: float, k: int | None) -> None:
    sae, resid = random_sae(), random_resid(30)
    sae = SparseAutoencoder(sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, k)
    resid[23, 3] = value

    with pytest.raises(InvalidInputError, match="at token 23 is not a finite number"):
        activations_of(resid, sae, CHOSEN, scratch_bytes=4 * sae.d_sae * 7)


@pytest.mark.parametrize("k", [8, None])
def test_no_tokens_give_no_activations(k: int | None) -> None:
    sae = random_sae()
    sae = SparseAutoencoder(sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec, k)

    assert activations_of(random_resid(0), sae, CHOSEN).shape == (0, len(CHOSEN))
