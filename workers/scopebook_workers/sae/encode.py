"""Turn residual vectors into the features that fire, and back."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from scopebook.errors import InvalidInputError
from scopebook_workers.sae.weights import SparseAutoencoder

SCRATCH_BYTES = 64 * 2**20


@torch.no_grad()
def encode(
    resid: Float[Tensor, "token d_model"],
    sae: SparseAutoencoder,
    *,
    scratch_bytes: int = SCRATCH_BYTES,
) -> tuple[Float[Tensor, "token k"], Int64[Tensor, "token k"]]:
    """Return each token's active features: top_k(relu(x @ W_enc.T + b_enc)).

    Strongest first; equal activations stand in the order of their feature index, and where they
    compete for the last place the lower index wins. A value of 0 (with index 0) is not an active
    feature but an unfilled place.

    Computed in float32 even for a bfloat16 model: with 8 bits of mantissa many pre-activations
    tie, and which of them survive would be chance. Qwen-Scope subtracts no b_dec before encoding.
    The pre-activations of all tokens never exist at once: at most `scratch_bytes` of them do.
    """
    if sae.k is None:
        raise InvalidInputError("an SAE without a top-k cannot be encoded by its k.")
    rows = max(1, scratch_bytes // (4 * sae.d_sae))
    w_enc = sae.w_enc.float()
    values = torch.empty(len(resid), sae.k, device=resid.device)
    features = torch.empty(len(resid), sae.k, device=resid.device, dtype=torch.int64)
    for start in range(0, len(resid), rows):
        x = resid[start : start + rows].float()
        pre_acts = torch.addmm(sae.b_enc.float(), x, w_enc.T).relu_()  # (token, d_sae)
        kept, at = stable_topk(pre_acts, sae.k, zero_is_nothing=True)
        values[start : start + rows] = kept
        features[start : start + rows] = at.masked_fill_(kept == 0, 0)
    _check_finite(values)
    return values, features


@torch.no_grad()
def decode(
    values: Float[Tensor, "token k"], features: Int64[Tensor, "token k"], sae: SparseAutoencoder
) -> Float[Tensor, "token d_model"]:
    """Return the reconstruction sum_i v_i * W_dec[f_i] + b_dec, in float32.

    Rows of W_dec are summed as they are read: no (token, k, d_model) is built.
    """
    written = embedding_bag(features, sae.w_dec.float(), mode="sum", per_sample_weights=values)
    return written + sae.b_dec.float()


def stable_topk(
    scores: Float[Tensor, "row column"], k: int, *, zero_is_nothing: bool = False
) -> tuple[Float[Tensor, "row {k}"], Int64[Tensor, "row {k}"]]:
    """Return the k largest of each row, ties towards the lower column.

    `torch.topk` keeps an arbitrary one of equal scores. It is asked for one more than needed:
    only rows whose last kept and first dropped score are equal are sorted in full (not even those
    where `zero_is_nothing` and the two are 0: it does not matter which zeros are kept). On
    (512, 32768) scores without ties that costs a tenth more than `torch.topk` and a hundredth of
    the matrix product before it.
    """
    more = min(k + 1, scores.shape[1])
    kept, columns = scores.topk(more, dim=-1)
    if more > k:
        tied = kept[:, k - 1] == kept[:, k]
        if zero_is_nothing:
            tied &= kept[:, k] != 0
        kept, columns = kept[:, :k], columns[:, :k]
        if tied.any():
            again = scores[tied].sort(dim=-1, descending=True, stable=True)
            kept, columns = kept.clone(), columns.clone()
            kept[tied], columns[tied] = again.values[:, :k], again.indices[:, :k]
    by_column = columns.argsort(dim=-1)
    columns, kept = columns.gather(1, by_column), kept.gather(1, by_column)
    by_score = kept.argsort(dim=-1, descending=True, stable=True)
    return kept.gather(1, by_score), columns.gather(1, by_score)


def _check_finite(values: Float[Tensor, "token k"]) -> None:
    """Refuse NaN and infinity: they sort before every activation and would hide them."""
    bad = ~values.isfinite().all(dim=-1)
    if bad.any():
        raise InvalidInputError(
            f"the model's residual at token {int(bad.nonzero()[0])} is not a finite number: run "
            "the model in bfloat16 or float32, since float16 overflows."
        )
