"""The k largest of wide rows, exact to the tie."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

#: Bytes of scores that exist at once where a computation can be cut into tiles.
SCRATCH_BYTES = 64 * 2**20
#: Columns of a group whose largest stands for it, and the width from which that pays: measured by
#: `make bench-collect` as 1.2 to 1.5 times as fast as `torch.topk` over the whole row.
_GROUP = 16
_WIDE = 2048


def stable_topk(
    scores: Float[Tensor, "row column"], k: int
) -> tuple[Float[Tensor, "row {k}"], Int64[Tensor, "row {k}"]]:
    """Return the k largest of each row, largest first, ties towards the lower column."""
    kept, columns = exact_topk(scores, k)
    by_column = columns.argsort(dim=-1)
    columns, kept = columns.gather(1, by_column), kept.gather(1, by_column)
    by_score = kept.argsort(dim=-1, descending=True, stable=True)
    return kept.gather(1, by_score), columns.gather(1, by_score)


def exact_topk(
    scores: Float[Tensor, "row column"], k: int, *, above_zero: bool = False
) -> tuple[Float[Tensor, "row {k}"], Int64[Tensor, "row {k}"]]:
    """Return the k largest of each row in any order; equal ones compete by the lower column.

    `torch.topk` keeps an arbitrary one of equal scores. It is asked for one more than needed:
    only rows whose last kept and first dropped score are equal are sorted in full; with
    `above_zero` only if these are positive, since what is not will be dropped anyway.
    """
    more = min(k + 1, scores.shape[1])
    kept, columns = _topk(scores, more)
    if more > k:
        tied = kept[:, k - 1] == kept[:, k]
        if above_zero:
            tied &= kept[:, k] > 0
        kept, columns = kept[:, :k], columns[:, :k]
        if tied.any():
            again = scores[tied].sort(dim=-1, descending=True, stable=True)
            kept, columns = kept.clone(), columns.clone()
            kept[tied], columns[tied] = again.values[:, :k], again.indices[:, :k]
    return kept, columns


def _topk(
    scores: Float[Tensor, "row column"], k: int
) -> tuple[Float[Tensor, "row {k}"], Int64[Tensor, "row {k}"]]:
    """Return the k largest, largest first, in two stages where rows are wide.

    The k groups with the largest maxima hold the k largest scores, so that only their columns are
    looked at twice. Group c is the columns c, c + groups, c + 2 * groups, ...: its maximum is then
    taken over whole vectors.
    """
    columns = scores.shape[1]
    groups = columns // _GROUP
    if columns < _WIDE or columns % _GROUP or k > groups:
        return scores.topk(k, dim=-1)
    maxima = scores.view(-1, _GROUP, groups).amax(dim=1)
    best = maxima.topk(k, dim=-1, sorted=False).indices
    steps = groups * torch.arange(_GROUP, device=scores.device)
    looked_at = (best[:, None, :] + steps[:, None]).flatten(1)  # (row, _GROUP * k)
    kept, at = scores.gather(1, looked_at).topk(k, dim=-1)
    return kept, looked_at.gather(1, at)
