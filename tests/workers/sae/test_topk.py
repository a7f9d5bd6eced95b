import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scopebook_workers.sae.topk import exact_topk, stable_topk

WIDE = 4096


def in_order(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest by a full stable sort."""
    whole = scores.sort(dim=-1, descending=True, stable=True)
    return whole.values[:, :k], whole.indices[:, :k]


def wide_rows(seed: int, *, levels: int) -> Tensor:
    """Return rows of few different numbers, so that equal ones compete for the last place."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-levels, levels, (6, WIDE), generator=generator).float()


@given(seed=st.integers(0, 2**31), levels=st.sampled_from([2, 50, 100_000]), k=st.integers(1, 200))
def test_two_stages_keep_what_a_full_sort_keeps(seed: int, levels: int, k: int) -> None:
    scores = wide_rows(seed, levels=levels)

    kept, columns = stable_topk(scores, k)

    values, indices = in_order(scores, k)
    assert kept.equal(values)
    assert columns.equal(indices)


def test_rows_that_cannot_be_cut_into_groups_are_searched_whole() -> None:
    scores = wide_rows(1, levels=50)[:, : WIDE - 5]

    assert stable_topk(scores, 30)[1].equal(in_order(scores, 30)[1])


def test_equal_scores_that_will_be_dropped_may_be_any() -> None:
    scores = torch.full((3, WIDE), -1.0)
    scores[:, 7] = 2.0

    kept, columns = exact_topk(scores, 5, above_zero=True)

    assert kept.relu().sum(dim=1).tolist() == [2.0, 2.0, 2.0]
    assert (columns == 7).any(dim=1).all()
