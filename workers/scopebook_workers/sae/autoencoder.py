"""One layer's SAE as it is used: whatever its file's format, one matrix product and one rule."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from scopebook.errors import CheckpointError
from scopebook.saelens import SaeKind


@dataclass(frozen=True)
class SparseAutoencoder:
    """One layer's SAE; row f of `w_dec` is the direction that feature f writes.

    Pre-activations are `x @ w_enc.T + b_enc`. Active are the `k` strongest above 0; or, without
    `k`, those above 0 and above their threshold; or, with neither, all above 0.
    """

    w_enc: Float[Tensor, "d_sae d_model"]
    b_enc: Float[Tensor, " d_sae"]
    w_dec: Float[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    k: int | None
    thresholds: Float[Tensor, " d_sae"] | None = None

    def __post_init__(self) -> None:
        """Hold that one rule applies."""
        if self.k is not None and self.thresholds is not None:
            raise ValueError("an SAE keeps the k strongest features or has thresholds, not both")

    @property
    def d_sae(self) -> int:
        """How many features the SAE has."""
        return self.w_enc.shape[0]

    @property
    def d_model(self) -> int:
        """How wide the residual stream is that the SAE reads."""
        return self.w_enc.shape[1]

    @property
    def kind(self) -> SaeKind:
        """The rule that applies."""
        if self.k is not None:
            return "topk"
        return "relu" if self.thresholds is None else "threshold"


def check_against_model(sae: SparseAutoencoder, *, d_model: int, n_layers: int, layer: int) -> None:
    """Refuse an SAE that does not fit the model's width or depth."""
    if sae.d_model != d_model:
        raise CheckpointError(
            f"the SAE of layer {layer} reads a residual stream of width {sae.d_model} but the "
            f"model's is {d_model}: give the model that the release was trained on."
        )
    check_layer(f"the SAE is for layer {layer}", layer=layer, n_layers=n_layers)


def check_layer(subject: str, *, layer: int, n_layers: int) -> None:
    """Refuse a layer that the model has not; `subject` says whose layer it is."""
    if not 0 <= layer < n_layers:
        raise CheckpointError(
            f"{subject} but the model has layers 0 to {n_layers - 1}: give the model that the "
            "release was trained on."
        )
