"""Steer a model: change what chosen decoder layers put out, at chosen tokens, while it runs.

The caller says with each run which of its positions are steered, so that a cache, a prompt in
chunks or padding on either side change nothing. A cache holds what steering did: it belongs to one
steering and is never used with another.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from transformers import PreTrainedModel

from scopebook.errors import InvalidInputError


@runtime_checkable
class Change(Protocol):
    """What is done to the residual stream after a layer."""

    def change(
        self, residual: Float[Tensor, "token d_model"], row: Int64[Tensor, " token"]
    ) -> Float[Tensor, "token d_model"]:
        """Return what is to be added for each token, which is of a row of the batch."""
        ...


class Steering:
    """The layers' changes, and where they act in the run that is under way."""

    def __init__(self, layers: Mapping[int, Change]) -> None:
        """By layer; each change is made of what its layer puts out, changes below included."""
        self.layers = dict(layers)
        self._where: Bool[Tensor, "row position"] | None = None

    @contextmanager
    def at(self, where: Bool[Tensor, "row position"]) -> Iterator[None]:
        """Steer the runs inside the block at these positions of their input."""
        self._where = where
        try:
            yield
        finally:
            self._where = None

    def steer(
        self, layer: int, output: Float[Tensor, "row position d_model"]
    ) -> Float[Tensor, "row position d_model"]:
        """Return a layer's output with its change; the sum is taken in float32."""
        where = self._where
        if where is None:
            raise RuntimeError("the model runs outside of `at`: say where it is to be steered")
        if where.shape != output.shape[:2]:
            raise ValueError(
                f"the model runs {tuple(output.shape[:2])} positions, and where to steer was said "
                f"of {tuple(where.shape)}"
            )
        if bool(where.all()):
            return self._steer_all(layer, output)
        row, position = where.to(output.device).nonzero(as_tuple=True)
        if not len(row):
            return output
        residual = output[row, position]
        change = self.layers[layer].change(residual, row)
        steered = output.clone()
        steered[row, position] = (residual.float() + change).to(output.dtype)
        return steered

    def _steer_all(
        self, layer: int, output: Float[Tensor, "row position d_model"]
    ) -> Float[Tensor, "row position d_model"]:
        """Steer every position: while a text is written, nothing has to be picked out."""
        rows, positions, _ = output.shape
        row = torch.arange(rows, device=output.device).repeat_interleave(positions)
        residual = output.flatten(0, 1)
        steered = residual.float() + self.layers[layer].change(residual, row)
        return steered.to(output.dtype).view_as(output)


@contextmanager
def steered(model: PreTrainedModel, layers: Mapping[int, Change]) -> Iterator[Steering]:
    """Hook the layers of a model, and remove the hooks again, whatever happens.

    Raises:
        InvalidInputError: The model has no such layer.
    """
    untyped: Any = model
    decoder = untyped.get_decoder()
    there = len(decoder.layers)
    for layer in layers:
        if not 0 <= layer < there:
            raise InvalidInputError(
                f"the model has no layer {layer}; give some of its layers 0 to {there - 1}."
            )
    steering = Steering(layers)
    handles = [
        decoder.layers[layer].register_forward_hook(_changer(steering, layer)) for layer in layers
    ]
    try:
        yield steering
    finally:
        for handle in handles:
            handle.remove()


def _changer(steering: Steering, layer: int) -> Callable[..., Any]:
    def change(_module: Any, _inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (steering.steer(layer, output[0]), *output[1:])
        return steering.steer(layer, output)

    return change


def real_positions(lengths: list[int], width: int) -> Bool[Tensor, "row position"]:
    """Return where texts of these lengths lie in a batch that is padded on the left."""
    places = torch.arange(width)
    return places[None] >= width - torch.tensor(lengths)[:, None]
