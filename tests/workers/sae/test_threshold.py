import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from scopebook.errors import InvalidInputError
from scopebook_workers.sae.threshold import active_above
from scopebook_workers.sae.weights import SparseAutoencoder

D_SAE, D_MODEL = 96, 16


def random_sae(*, bias: float = -6.0, thresholds: Tensor | None = None) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(3)
    return SparseAutoencoder(
        w_enc=torch.randn(D_SAE, D_MODEL, generator=generator),
        b_enc=torch.randn(D_SAE, generator=generator) + bias,
        w_dec=torch.randn(D_SAE, D_MODEL, generator=generator),
        b_dec=torch.zeros(D_MODEL),
        k=None,
        thresholds=thresholds,
    )


def random_resid(tokens: int = 50) -> Tensor:
    return torch.randn(tokens, D_MODEL, generator=torch.Generator().manual_seed(4))


def mixed_thresholds() -> Tensor:
    """Some below zero, where zero decides, and some that nothing reaches."""
    thresholds = torch.randn(D_SAE, generator=torch.Generator().manual_seed(5))
    thresholds[7] = 1e6
    return thresholds


def plainly_active(resid: Tensor, sae: SparseAutoencoder) -> list[tuple[int, int, float]]:
    """Look at every pair by itself."""
    found = []
    for token, x in enumerate(resid.double()):
        for feature in range(sae.d_sae):
            value = float(x @ sae.w_enc[feature].double() + sae.b_enc[feature].double())
            above = sae.thresholds is None or value > float(sae.thresholds[feature])
            if value > 0 and above:
                found.append((token, feature, value))
    return found


@pytest.mark.parametrize("scratch_bytes", [1, 4 * D_SAE * 7, 2**20])
@pytest.mark.parametrize("thresholds", [None, mixed_thresholds()], ids=["relu", "threshold"])
def test_what_fires_agrees_with_a_look_at_every_pair(
    thresholds: Tensor | None, scratch_bytes: int
) -> None:
    sae, resid = random_sae(thresholds=thresholds), random_resid()

    tokens, features, values = active_above(resid, sae, scratch_bytes=scratch_bytes)

    wanted = plainly_active(resid, sae)
    assert len(wanted) > 20
    assert list(zip(tokens.tolist(), features.tolist(), strict=True)) == [w[:2] for w in wanted]
    plain = torch.tensor([w[2] for w in wanted], dtype=torch.float64)
    assert_close(values.double(), plain, rtol=1e-5, atol=1e-5)
    assert (tokens.dtype, features.dtype, values.dtype) == (torch.int64, torch.int64, torch.float32)


def test_what_is_equal_to_its_threshold_does_not_fire() -> None:
    eye = torch.eye(40)
    sae = SparseAutoencoder(
        eye, torch.zeros(40), eye, torch.zeros(40), None, torch.full((40,), 2.0)
    )
    resid = torch.zeros(2, 40)
    resid[0, 3], resid[1, 5] = 2.0, 2.5

    tokens, features, values = active_above(resid, sae)

    assert (tokens.tolist(), features.tolist(), values.tolist()) == ([1], [5], [2.5])


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_a_bfloat16_residual_is_encoded_in_float32(weights: torch.dtype) -> None:
    sae, resid = random_sae(), random_resid().bfloat16()
    parts = (sae.w_enc, sae.b_enc, sae.w_dec, sae.b_dec)
    given = SparseAutoencoder(*(part.to(weights) for part in parts), k=None)
    single = SparseAutoencoder(*(part.to(weights).float() for part in parts), k=None)

    tokens, features, values = active_above(resid, given)

    wanted = active_above(resid.float(), single)
    assert values.dtype == torch.float32
    assert tokens.equal(wanted[0])
    assert features.equal(wanted[1])
    assert_close(values, wanted[2])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("scratch_bytes", [1, 2**20])
def test_a_residual_that_is_not_finite_is_refused(value: float, scratch_bytes: int) -> None:
    resid = random_resid()
    resid[17, 2] = value

    with pytest.raises(InvalidInputError, match="residual at token 17 is not a finite number"):
        active_above(resid, random_sae(), scratch_bytes=scratch_bytes)


@pytest.mark.parametrize("scratch_bytes", [1, 2**20])
def test_an_sae_that_fires_on_most_pairs_is_refused(scratch_bytes: int) -> None:
    with pytest.raises(InvalidInputError, match="fires on more than 25% of all pairs"):
        active_above(random_resid(), random_sae(bias=0.0), scratch_bytes=scratch_bytes)


def test_nothing_fires_on_no_tokens_and_below_the_thresholds() -> None:
    for resid in (random_resid(0), random_resid()):
        found = active_above(resid, random_sae(thresholds=torch.full((D_SAE,), 1e9)))

        assert [len(part) for part in found] == [0, 0, 0]
        assert [part.dtype for part in found] == [torch.int64, torch.int64, torch.float32]


def test_an_sae_with_a_top_k_is_not_encoded_by_thresholds() -> None:
    weights = (torch.eye(2), torch.zeros(2), torch.eye(2), torch.zeros(2))

    with pytest.raises(ValueError, match="by its k"):
        active_above(torch.zeros(1, 2), SparseAutoencoder(*weights, k=1))
