import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from scopebook.errors import InvalidInputError
from scopebook_workers.sae.encode import decode, encode
from scopebook_workers.sae.topk import stable_topk
from scopebook_workers.sae.weights import SparseAutoencoder


def random_sae(
    d_sae: int = 96, d_model: int = 16, k: int = 7, *, bias: float = 0.0
) -> SparseAutoencoder:
    generator = torch.Generator().manual_seed(3)
    return SparseAutoencoder(
        w_enc=torch.randn(d_sae, d_model, generator=generator),
        b_enc=torch.randn(d_sae, generator=generator) / 4 + bias,
        w_dec=torch.randn(d_sae, d_model, generator=generator),
        b_dec=torch.randn(d_model, generator=generator),
        k=k,
    )


def random_resid(tokens: int, d_model: int = 16) -> Tensor:
    return torch.randn(tokens, d_model, generator=torch.Generator().manual_seed(5))


def plain_encode(resid: Tensor, sae: SparseAutoencoder) -> list[list[tuple[int, float]]]:
    """Return each token's (feature, activation), one number at a time in float64."""
    tokens = []
    for x in resid.double().tolist():
        acts = [
            (feature, max(0.0, sum(a * b for a, b in zip(x, row, strict=True)) + bias))
            for feature, (row, bias) in enumerate(
                zip(sae.w_enc.double().tolist(), sae.b_enc.double().tolist(), strict=True)
            )
        ]
        best = sorted(acts, key=lambda act: (-act[1], act[0]))[: sae.k]
        tokens.append([act for act in best if act[1] > 0])
    return tokens


def active(values: Tensor, features: Tensor) -> list[list[tuple[int, float]]]:
    return [
        [(int(f), float(v)) for f, v in zip(row_f, row_v, strict=True) if v > 0]
        for row_f, row_v in zip(features, values, strict=True)
    ]


def assert_same_features(
    found: list[list[tuple[int, float]]], wanted: list[list[tuple[int, float]]]
) -> None:
    assert [[f for f, _ in token] for token in found] == [[f for f, _ in t] for t in wanted]
    for token, reference in zip(found, wanted, strict=True):
        assert [v for _, v in token] == pytest.approx([v for _, v in reference], abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_encode_agrees_with_a_plain_float64_reference(dtype: torch.dtype) -> None:
    sae, resid = random_sae(), random_resid(23).to(dtype)

    values, features = encode(resid, sae)

    assert values.dtype == torch.float32
    assert_same_features(active(values, features), plain_encode(resid, sae))


def test_fewer_positives_than_k_leave_places_of_value_zero() -> None:
    sae, resid = random_sae(bias=-9.0), random_resid(40)

    values, features = encode(resid, sae)

    wanted = plain_encode(resid, sae)
    assert min(len(token) for token in wanted) < sae.k
    assert_same_features(active(values, features), wanted)
    assert (features[values == 0] == 0).all()


def test_a_negative_pre_activation_never_counts() -> None:
    sae = random_sae(bias=-1000.0)

    values, features = encode(random_resid(5), sae)

    assert not values.any()
    assert not features.any()


def test_equal_features_fill_the_last_places_from_the_lowest_index() -> None:
    sae = random_sae()
    twins = SparseAutoencoder(
        sae.w_enc[:1].expand(96, 16).contiguous(), torch.zeros(96), sae.w_dec, sae.b_dec, sae.k
    )
    resid = random_resid(30)

    values, features = encode(resid, twins)

    fires = values[:, 0] > 0
    assert fires.any()
    assert not fires.all()
    assert (features[fires] == torch.arange(sae.k)).all()


def test_where_the_text_is_cut_into_chunks_does_not_matter() -> None:
    sae, resid = random_sae(), random_resid(50)

    whole = encode(resid, sae)
    chunked = encode(resid, sae, scratch_bytes=4 * sae.d_sae * 7)

    assert_close(chunked[0], whole[0])
    assert chunked[1].equal(whole[1])


def test_no_tokens_give_no_features() -> None:
    values, features = encode(torch.empty(0, 16), random_sae())

    assert values.shape == features.shape == (0, 7)


def test_an_sae_whose_k_is_its_width_keeps_every_positive() -> None:
    sae, resid = random_sae(d_sae=9, k=9), random_resid(11)

    values, features = encode(resid, sae)

    assert_same_features(active(values, features), plain_encode(resid, sae))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_residual_that_is_not_finite_is_refused_by_its_token(value: float) -> None:
    resid = random_resid(9)
    resid[4, 3] = value

    with pytest.raises(InvalidInputError, match="residual at token 4 is not a finite number"):
        encode(resid, random_sae())


def test_decode_agrees_with_a_plain_sum_of_directions() -> None:
    sae, resid = random_sae(), random_resid(13)
    values, features = encode(resid, sae)

    reconstruction = decode(values, features, sae)

    for token in range(len(resid)):
        plain = sae.b_dec.double()
        for value, feature in zip(values[token], features[token], strict=True):
            plain = plain + value.double() * sae.w_dec[feature].double()
        assert_close(reconstruction[token].double(), plain, rtol=1e-5, atol=1e-5)


def test_a_feature_that_is_not_active_adds_nothing() -> None:
    sae = random_sae(bias=-1000.0)

    reconstruction = decode(*encode(random_resid(4), sae), sae)

    assert_close(reconstruction, sae.b_dec.expand(4, -1))


@given(
    st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 6),
)
def test_the_largest_with_ties_to_the_lower_column(rows: list[list[int]], k: int) -> None:
    scores = torch.tensor(rows).float()

    kept, columns = stable_topk(scores, k)

    wanted = [sorted(range(6), key=lambda c: (-row[c], c))[:k] for row in rows]
    assert columns.tolist() == wanted
    assert kept.equal(scores.gather(1, columns))
