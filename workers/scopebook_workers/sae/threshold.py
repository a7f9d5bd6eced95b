"""Find the features that fire where no top-k says how many: above thresholds, or above zero."""

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from scopebook.errors import InvalidInputError
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.topk import SCRATCH_BYTES

#: Of all pairs of a token and a feature; the densest SAEs in use fire on some in a thousand, but on
#: more at first positions, which may fill a batch of short texts.
MOST_ACTIVE = 0.25


@torch.no_grad()
def active_above(
    resid: Float[Tensor, "token d_model"],
    sae: SparseAutoencoder,
    *,
    scratch_bytes: int = SCRATCH_BYTES,
) -> tuple[Int64[Tensor, " active"], Int64[Tensor, " active"], Float32[Tensor, " active"]]:
    """Return the token, the feature and the activation of everything that fires.

    In the order of the tokens, and of the features within each. Fires what is above 0 and, in an
    SAE with thresholds, above its feature's. Computed in float32 even for a bfloat16 model, with
    the pre-activations of at most `scratch_bytes` (of one token, if that is less) at a time.

    Raises InvalidInputError for a residual that is not finite, and for an SAE that fires on more
    than a quarter of all pairs: what is kept of it would not fit, and it tells nothing.
    """
    if sae.k is not None:
        raise ValueError("an SAE that keeps the k strongest is encoded by its k")
    rows = max(1, scratch_bytes // (4 * sae.d_sae))
    w_enc, b_enc = sae.w_enc.float(), sae.b_enc.float()
    floor = None if sae.thresholds is None else sae.thresholds.float().clamp(min=0)
    most = MOST_ACTIVE * len(resid) * sae.d_sae
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    count = 0
    for start in range(0, len(resid), rows):
        pre_acts = torch.addmm(b_enc, resid[start : start + rows].float(), w_enc.T)
        _check_finite(pre_acts, start)
        tokens, features = (pre_acts > (0 if floor is None else floor)).nonzero(as_tuple=True)
        count += len(tokens)
        if count > most:
            raise InvalidInputError(_not_sparse(sae))
        found.append((tokens + start, features, pre_acts[tokens, features]))
    if not found:
        nothing = torch.empty(0, dtype=torch.int64, device=resid.device)
        return nothing, nothing.clone(), torch.empty(0, device=resid.device)
    tokens, features, values = (torch.cat(part) for part in zip(*found, strict=True))
    return tokens, features, values


def _check_finite(pre_acts: Float32[Tensor, "token d_sae"], start: int) -> None:
    """Refuse NaN, which is above no threshold and would pass for silence, and infinity."""
    # A sum is not finite as soon as one of its terms is not, and needs no mask of all of them.
    bad = ~pre_acts.sum(dim=1).isfinite()
    if bad.any():
        raise InvalidInputError(
            f"the model's residual at token {start + int(bad.nonzero()[0])} is not a finite "
            "number: run the model in bfloat16 or float32, since float16 overflows."
        )


def _not_sparse(sae: SparseAutoencoder) -> str:
    return (
        f"the SAE with {sae.d_sae} features fires on more than {MOST_ACTIVE:.0%} of all pairs of "
        "a token and a feature, so it is not sparse: check that it was trained on this model and "
        "this layer, and that its cfg.json belongs to its weights."
    )
