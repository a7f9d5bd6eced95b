import pytest
import torch
from torch import Tensor
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5RMSNorm

from scopebook_workers.sae.logit_lens import decoder_norms, logit_lens, nearest_directions

D_MODEL, D_SAE, VOCAB = 16, 40, 90


def random_rows(rows: int, *, seed: int = 0) -> Tensor:
    return torch.randn(rows, D_MODEL, generator=torch.Generator().manual_seed(seed))


def norm_of(kind: type[torch.nn.Module]) -> torch.nn.Module:
    norm = kind(D_MODEL, eps=1e-6)
    with torch.no_grad():
        norm.weight.copy_(random_rows(1, seed=9)[0] / 4)
    return norm


def plain_logits(direction: Tensor, weight: Tensor, unembedding: Tensor) -> list[float]:
    """Return one direction's logits in float64; `weight` is what the norm multiplies with."""
    unit = direction.double() / direction.double().norm()
    normed = unit / (unit.square().mean() + 1e-6).sqrt() * weight.double()
    return [float(normed @ token) for token in unembedding.double()]


@pytest.mark.parametrize(("kind", "shift"), [(Qwen3RMSNorm, 0.0), (Qwen3_5RMSNorm, 1.0)])
@pytest.mark.parametrize("scratch_bytes", [64 * 2**20, 4 * D_MODEL * 13])
def test_the_lens_agrees_with_a_plain_float64_reference(
    kind: type[torch.nn.Module], shift: float, scratch_bytes: int
) -> None:
    directions, unembedding, norm = random_rows(D_SAE), random_rows(VOCAB, seed=1), norm_of(kind)

    lens = logit_lens(directions, norm, unembedding, scratch_bytes=scratch_bytes)

    assert lens.promoted.shape == lens.suppressed.shape == (D_SAE, 10)
    for feature, direction in enumerate(directions):
        logits = plain_logits(direction, norm.weight.detach() + shift, unembedding)
        order = sorted(range(VOCAB), key=lambda token: -logits[token])
        assert lens.promoted[feature].tolist() == order[:10]
        assert lens.suppressed[feature].tolist() == order[:-11:-1]
        assert lens.promoted_logits[feature].tolist() == pytest.approx(
            [logits[token] for token in order[:10]], rel=1e-4, abs=1e-5
        )
        assert lens.suppressed_logits[feature].tolist() == pytest.approx(
            [logits[token] for token in order[:-11:-1]], rel=1e-4, abs=1e-5
        )


def test_the_length_of_a_direction_does_not_change_its_tokens() -> None:
    directions, unembedding, norm = (
        random_rows(3),
        random_rows(VOCAB, seed=1),
        norm_of(Qwen3RMSNorm),
    )

    short = logit_lens(directions / 1000, norm, unembedding)

    assert short.promoted.equal(logit_lens(directions, norm, unembedding).promoted)


def test_a_model_in_bfloat16_gives_float32_logits() -> None:
    norm = norm_of(Qwen3_5RMSNorm).bfloat16()

    lens = logit_lens(random_rows(4), norm, random_rows(VOCAB, seed=1).bfloat16())

    assert lens.promoted_logits.dtype == torch.float32
    assert not lens.promoted_logits.requires_grad


def test_equal_tokens_stand_in_the_order_of_their_ids() -> None:
    unembedding = random_rows(1, seed=1).expand(VOCAB, -1)

    lens = logit_lens(
        random_rows(5), norm_of(Qwen3RMSNorm), unembedding, scratch_bytes=4 * D_MODEL * 13
    )

    assert (lens.promoted == torch.arange(10)).all()
    assert (lens.suppressed == torch.arange(10)).all()


def test_a_direction_of_length_zero_promotes_nothing() -> None:
    lens = logit_lens(torch.zeros(1, D_MODEL), norm_of(Qwen3RMSNorm), random_rows(VOCAB, seed=1))

    assert not lens.promoted_logits.any()
    assert not lens.suppressed_logits.any()


def test_a_vocabulary_smaller_than_n_is_listed_whole() -> None:
    lens = logit_lens(random_rows(2), norm_of(Qwen3RMSNorm), random_rows(4, seed=1))

    assert lens.promoted.sort().values.tolist() == [[0, 1, 2, 3]] * 2


def test_decoder_norms_are_lengths_in_float32() -> None:
    directions = random_rows(D_SAE).bfloat16()

    norms = decoder_norms(directions)

    plain = [sum(x * x for x in row) ** 0.5 for row in directions.double().tolist()]
    assert norms.dtype == torch.float32
    assert norms.tolist() == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("scratch_bytes", [64 * 2**20, 4 * D_SAE * 7])
def test_neighbours_agree_with_all_pairs_of_cosines(scratch_bytes: int) -> None:
    directions = random_rows(D_SAE) * torch.linspace(0.1, 9, D_SAE)[:, None]

    neighbours, cosines = nearest_directions(directions, scratch_bytes=scratch_bytes)

    for feature, row in enumerate(directions.double()):
        pairs = {
            other: float(row @ column / (row.norm() * column.norm()))
            for other, column in enumerate(directions.double())
            if other != feature
        }
        order = sorted(pairs, key=lambda other: -pairs[other])[:10]
        assert neighbours[feature].tolist() == order
        assert cosines[feature].tolist() == pytest.approx([pairs[o] for o in order], abs=1e-5)


def test_a_twin_is_the_nearest_and_a_dead_direction_is_near_nobody() -> None:
    directions = random_rows(6)
    directions[5], directions[2] = directions[1], 0

    neighbours, cosines = nearest_directions(directions, n=5)

    assert (int(neighbours[1, 0]), int(neighbours[5, 0])) == (5, 1)
    assert float(cosines[1, 0]) == pytest.approx(1)
    assert cosines[2].tolist() == [0] * 5
    assert neighbours[2].tolist() == [0, 1, 3, 4, 5]


def test_a_small_sae_has_no_more_neighbours_than_others() -> None:
    neighbours, _ = nearest_directions(random_rows(3))

    assert neighbours.shape == (3, 2)
