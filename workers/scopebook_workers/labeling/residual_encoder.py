"""Windows as vectors by the SAE's own model: what it holds at the firing token.

All examples of a feature share the feature's direction, so it is taken out; what is left is what
else the model knows at that place.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from scopebook_workers.labeling.encoding import checked
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.window_vectors import Vectors
from scopebook_workers.qwen.capture import capture
from scopebook_workers.sae.weights import SparseAutoencoder

#: A wider residual is projected to so many numbers, which keep its cosines to about 0.06.
DIMENSIONS: Final = 256
_SEED: Final = 0


@dataclass(frozen=True, order=True)
class Place:
    """Where a feature fires: a context's row id, the token, and the feature's number."""

    context: int
    peak: int
    feature: int

    @property
    def key(self) -> bytes:
        """16 bytes that are the same for the same place."""
        name = f"{self.context} {self.peak} {self.feature}"
        return hashlib.sha256(name.encode()).digest()[:16]


class ResidualEncoder:
    """One layer's residual at the peak, less its part along the feature's decoder direction."""

    def __init__(
        self,
        model: PreTrainedModel,
        sae: SparseAutoencoder,
        *,
        layer: int,
        name: str,
        tokens_of: Callable[[Sequence[int]], dict[int, NDArray[np.int32]]],
        batch_tokens: int,
    ) -> None:
        """`tokens_of` gives contexts' tokens by row id; `name` says which model and SAE it is."""
        self._model, self._layer, self._tokens_of = model, layer, tokens_of
        self._batch_tokens = batch_tokens
        self._directions = sae.w_dec
        self._projection = projection(sae.d_model).to(model.device)
        self.id: Final = f"residual of {name}, {self._projection.shape[1]} numbers"

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        """Return the keys of where the windows' features fire."""
        return [place_of(window).key for window in windows]

    def encode(self, windows: Sequence[Window]) -> Vectors:
        """Return a unit vector for each window, rounded to half precision."""
        return self.encode_places([place_of(window) for window in windows])

    @torch.no_grad()
    def encode_places(self, places: Sequence[Place]) -> Vectors:
        """Return a unit vector for each place; each context is run once, up to its last peak."""
        found = np.empty((len(places), self._projection.shape[1]), np.float32)
        by_context: dict[int, list[int]] = {}
        for number, place in enumerate(places):
            by_context.setdefault(place.context, []).append(number)
        tokens = self._tokens_of(list(by_context))
        wanted = list(by_context.items())
        rows = [
            tokens[context][: 1 + max(places[number].peak for number in numbers)]
            for context, numbers in wanted
        ]
        for batch in capture(self._model, [self._layer], rows, batch_tokens=self._batch_tokens):
            numbers: list[int] = []
            tokens_at: list[int] = []
            starts = np.cumsum([0, *batch.lengths])
            for row, start in zip(batch.rows, starts.tolist(), strict=False):
                numbers += wanted[row][1]
                tokens_at += [start + places[number].peak for number in wanted[row][1]]
            features = [places[number].feature for number in numbers]
            found[numbers] = self._vectors(batch.residuals[self._layer][tokens_at], features)
        return checked(found, self.id)

    def _vectors(
        self, residuals: Float[Tensor, "token d_model"], features: Sequence[int]
    ) -> Vectors:
        hidden = residuals.float()
        along = torch.nn.functional.normalize(self._directions[features].float(), dim=1)
        rest = hidden - (hidden * along).sum(dim=1, keepdim=True) * along
        unit = torch.nn.functional.normalize(rest @ self._projection, dim=1)
        vectors: Vectors = unit.cpu().numpy()
        return vectors


def place_of(window: Window) -> Place:
    """Return where a window's feature fires."""
    firing = window.firing
    assert firing.feature is not None  # windows of the dictionary's features have one
    return Place(firing.passage.id, firing.peak, firing.feature)


def projection(width: int) -> Float[Tensor, "width dimension"]:
    """Return what takes a residual of this width to `DIMENSIONS` numbers: the same at any time."""
    if width <= DIMENSIONS:
        return torch.eye(width)
    drawn: Tensor = torch.randn(width, DIMENSIONS, generator=torch.Generator().manual_seed(_SEED))
    return drawn.div(DIMENSIONS**0.5)
