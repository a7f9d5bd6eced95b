"""Turn residual vectors into the features that fire, and back."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from scopebook.errors import InvalidInputError
from scopebook_workers.sae.threshold import active_above
from scopebook_workers.sae.topk import SCRATCH_BYTES, exact_topk
from scopebook_workers.sae.weights import SparseAutoencoder

#: Tokens whose pre-activations exist at once, if `scratch_bytes` has room for so many. Fewer make
#: the matrix product slower, more no longer stay in the processor's cache until the top-k.
_TOKENS = 1024


@dataclass(frozen=True)
class Active:
    """Activations above 0, in the order of the tokens."""

    token: Int64[Tensor, " active"]
    feature: Int64[Tensor, " active"]
    value: Float32[Tensor, " active"]

    def __len__(self) -> int:
        return len(self.token)


@torch.no_grad()
def active_features(
    resid: Float[Tensor, "token d_model"],
    sae: SparseAutoencoder,
    *,
    scratch_bytes: int = SCRATCH_BYTES,
) -> Active:
    """Return what fires, by the rule of the SAE; features of one token are in no order.

    Computed in float32 even for a bfloat16 model: with 8 bits of mantissa many pre-activations
    tie, and which of them survive would be chance. Qwen-Scope subtracts no b_dec before encoding.

    Raises InvalidInputError for a residual that is not finite.
    """
    if sae.k is None:
        return Active(*active_above(resid, sae, scratch_bytes=scratch_bytes))
    values, features = _topk_of_tiles(resid, sae, sae.k, scratch_bytes)
    token, place = values.nonzero(as_tuple=True)
    return Active(token, features[token, place], values[token, place])


@torch.no_grad()
def encode(
    resid: Float[Tensor, "token d_model"],
    sae: SparseAutoencoder,
    *,
    scratch_bytes: int = SCRATCH_BYTES,
) -> tuple[Float[Tensor, "token k"], Int64[Tensor, "token k"]]:
    """Return each token's active features: top_k(relu(x @ W_enc.T + b_enc)).

    The same features and values as `active_features`, in a fixed shape: strongest first, equal
    activations in the order of their feature index. A value of 0 (with index 0) is not an active
    feature but an unfilled place. Only for an SAE that keeps the k strongest.
    """
    if sae.k is None:
        raise InvalidInputError("this SAE keeps no k strongest features: use `active_features`.")
    values, features = _topk_of_tiles(resid, sae, sae.k, scratch_bytes)
    features, by_feature = features.sort(dim=-1)
    values, by_value = values.gather(1, by_feature).sort(dim=-1, descending=True, stable=True)
    return values, features.gather(1, by_value).masked_fill_(values == 0, 0)


def _topk_of_tiles(
    resid: Float[Tensor, "token d_model"], sae: SparseAutoencoder, k: int, scratch_bytes: int
) -> tuple[Float[Tensor, "token k"], Int64[Tensor, "token k"]]:
    """Return relu'd values and features of the k strongest; 0 where fewer are positive."""
    values = torch.empty(len(resid), k, device=resid.device)
    features = torch.empty(len(resid), k, device=resid.device, dtype=torch.int64)
    for start, pre_acts in pre_act_tiles(resid, sae, scratch_bytes):
        # The k largest of x and of relu(x) are the same but for values that are not kept.
        kept, at = exact_topk(pre_acts, k, above_zero=True)
        values[start : start + len(kept)], features[start : start + len(kept)] = kept, at
    check_finite(values)
    return values.relu_(), features


def pre_act_tiles(
    resid: Float[Tensor, "token d_model"], sae: SparseAutoencoder, scratch_bytes: int
) -> Iterator[tuple[int, Float32[Tensor, "token d_sae"]]]:
    """Yield the first token of each tile and its pre-activations.

    All tiles are made in one scratch: fresh memory for each would cost a sixth of the product.
    """
    rows = max(1, min(_TOKENS, len(resid), scratch_bytes // (4 * sae.d_sae)))
    w_enc, b_enc = sae.w_enc.float().T, sae.b_enc.float()
    scratch = torch.empty(rows, sae.d_sae, device=resid.device)
    for start in range(0, len(resid), rows):
        x = resid[start : start + rows].float()
        yield start, torch.addmm(b_enc, x, w_enc, out=scratch[: len(x)])


@torch.no_grad()
def decode(
    values: Float[Tensor, "token k"], features: Int64[Tensor, "token k"], sae: SparseAutoencoder
) -> Float[Tensor, "token d_model"]:
    """Return the reconstruction sum_i v_i * W_dec[f_i] + b_dec, in float32.

    Rows of W_dec are summed as they are read: no (token, k, d_model) is built.
    """
    written = embedding_bag(features, sae.w_dec.float(), mode="sum", per_sample_weights=values)
    return written + sae.b_dec.float()


def check_finite(values: Float[Tensor, "token value"], start: int = 0) -> None:
    """Refuse NaN and infinity, which sort before every activation and would hide them.

    `start` is the number of the first token, by which the error names the bad one.
    """
    finite = values.isfinite()
    if not finite.all():
        bad = ~finite.all(dim=-1)
        raise InvalidInputError(
            f"the model's residual at token {start + int(bad.nonzero()[0])} is not a finite "
            "number: run the model in bfloat16 or float32, since float16 overflows."
        )
