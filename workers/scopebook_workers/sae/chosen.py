"""How strongly some chosen features fire, without a list of all that fire."""

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.encode import check_finite, pre_act_tiles
from scopebook_workers.sae.topk import SCRATCH_BYTES


@torch.no_grad()
def activations_of(
    resid: Float[Tensor, "token d_model"],
    sae: SparseAutoencoder,
    features: Int64[Tensor, " chosen"],
    *,
    scratch_bytes: int = SCRATCH_BYTES,
) -> Float32[Tensor, "token chosen"]:
    """Return the activation of each chosen feature at each token; 0: it does not fire.

    The same as `active_features` says of them, but for rounding where an SAE has thresholds. An
    SAE that keeps the k strongest is encoded whole, since of the k strongest a feature alone knows
    nothing; of others only the chosen rows are.

    Raises InvalidInputError for a residual that is not finite.
    """
    if sae.k is None:
        return _above_floor(resid, sae, features)
    fires = [
        _among_strongest(pre_acts, sae.k, features, start)
        for start, pre_acts in pre_act_tiles(resid, sae, scratch_bytes)
    ]
    return torch.cat(fires) if fires else torch.zeros(0, len(features), device=resid.device)


def _above_floor(
    resid: Float[Tensor, "token d_model"],
    sae: SparseAutoencoder,
    features: Int64[Tensor, " chosen"],
) -> Float32[Tensor, "token chosen"]:
    w_enc, b_enc = sae.w_enc[features].float(), sae.b_enc[features].float()
    pre_acts = torch.addmm(b_enc, resid.float(), w_enc.T)
    check_finite(pre_acts)
    if sae.thresholds is None:
        return pre_acts.relu_()
    floor = sae.thresholds[features].float().clamp(min=0)
    return torch.where(pre_acts > floor, pre_acts, 0)


def _among_strongest(
    pre_acts: Float32[Tensor, "token d_sae"], k: int, features: Int64[Tensor, " chosen"], start: int
) -> Float32[Tensor, "token chosen"]:
    strongest = pre_acts.topk(k, dim=-1, sorted=False).values
    check_finite(strongest, start)
    weakest = strongest.amin(dim=-1, keepdim=True)
    chosen = pre_acts[:, features]
    fires = torch.where(chosen > weakest, chosen, 0).relu_()
    last = chosen == weakest
    if last.any():
        _fill_last_places(fires, pre_acts, strongest, last, features)
    return fires


def _fill_last_places(
    fires: Float32[Tensor, "token chosen"],
    pre_acts: Float32[Tensor, "token d_sae"],
    strongest: Float32[Tensor, "token k"],
    last: Bool[Tensor, "token chosen"],
    features: Int64[Tensor, " chosen"],
) -> None:
    """Set what equals the weakest of the k: of several, the lower features take the places left."""
    for token, place in last.nonzero().tolist():
        feature = features[place]
        value = pre_acts[token, feature]
        taken = (strongest[token] > value).sum() + (pre_acts[token, :feature] == value).sum()
        if value > 0 and taken < strongest.shape[1]:
            fires[token, place] = value
