"""What the API answers of exampless; written by `make openapi`."""

from __future__ import annotations

from typing import TypedDict


class Piece(TypedDict):
    """A piece of text as the model reads it, widened to whole characters."""

    text: str
    activation: float
