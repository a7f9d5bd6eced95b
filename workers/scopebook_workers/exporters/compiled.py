"""A preset version with the tensors that its export needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float32
from torch import Tensor

from scopebook.steering import Positions
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.edits import Edit, added_vector


@dataclass(frozen=True, eq=False)
class CompiledLayer:
    """What is done to one layer's output, in absolute numbers."""

    sae: SparseAutoencoder
    edits: Sequence[Edit]

    @property
    def vector(self) -> Float32[Tensor, " d_model"] | None:
        """The sum of what `add` writes, taken in float64; None: nothing is added here."""
        return added_vector(self.sae, self.edits)


@dataclass(frozen=True, eq=False)
class CompiledPreset:
    """A preset version in absolute numbers."""

    #: `preset.json`: see `scopebook.preset_documents`.
    document: Mapping[str, Any]
    #: The `model_type` of the model's config: qwen3, qwen3_moe, qwen3_5_text, ...
    model_type: str
    n_layers: int
    d_model: int
    #: By layer, those with enabled interventions.
    layers: Mapping[int, CompiledLayer]
    positions: Positions
    #: Ids of the tokens that stand for no text: those that `positions` may leave out.
    special: frozenset[int] = frozenset()
    #: The width of the feed-forward layers; None: not known, or the model is a mixture of experts.
    d_ff: int | None = None
