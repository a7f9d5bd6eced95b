"""Windows as vectors by a model: what is common to all of them.

A `WindowEncoder` gives each window a vector of its own; `CentredVectors` makes of it the embedder
of an SAE's windows.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scopebook.errors import CheckpointError
from scopebook_workers.labeling.evidence import LEFT_TOKENS, WINDOW_TOKENS
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.window_vectors import Vectors, unit

#: Of a text that is too long for a model, this share of what it reads stands before the peak.
_LEFT: Final = LEFT_TOKENS / WINDOW_TOKENS
#: Sent where a window holds nothing but blanks, which some servers refuse.
_BLANK: Final = "."


class WindowEncoder(Protocol):
    """A model that gives each window a vector, whatever the other windows are."""

    @property
    def id(self) -> str:
        """Names the model and all that its vectors depend on besides the windows."""

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        """Return for each window 16 bytes that are the same where its vector is."""

    def encode(self, windows: Sequence[Window]) -> Vectors:
        """Return a vector for each window (window, dimension), rounded to half precision."""


class CentredVectors:
    """The embedder of windows that an encoder makes: of length one, less the mean.

    The mean is that of the windows it is made from: what all texts of a corpus share would else
    make all windows alike.
    """

    def __init__(self, encoder: WindowEncoder, windows: Sequence[Window]) -> None:
        self._encoder = encoder
        self._mean: NDArray[np.float64] | float = 0.0
        if windows:
            vectors = encoder.encode(windows)
            if len(set(encoder.keys(windows))) > 1 and not np.ptp(vectors, axis=0).any():
                raise CheckpointError(
                    f"The embedder {encoder.id} gives all windows the same vector, which can tell "
                    "no senses apart; give another --embedder."
                )
            self._mean = vectors.mean(axis=0, dtype=np.float64)

    @property
    def id(self) -> str:
        """The encoder's."""
        return self._encoder.id

    def embed(self, windows: Sequence[Window]) -> Vectors:
        """Return a unit vector for each window."""
        return unit(self._encoder.encode(windows) - self._mean)


def text_of(window: Window) -> str:
    """Return what a model reads of a window."""
    return window.text if window.text.strip() else _BLANK


def peak_in(window: Window) -> int:
    """Return where in the window's text its peak begins."""
    begins = window.passage.begins
    return int(begins[window.firing.peak] - begins[window.tokens[0]])


def text_keys(texts: Sequence[str]) -> list[bytes]:
    """Return 16 bytes of each text's hash."""
    return [hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16] for text in texts]


def around_peak(text: str, offsets: Sequence[tuple[int, int]], peak: int, most: int) -> str:
    """Return the text around a character, of at most so many pieces: two thirds before it.

    `offsets` are the pieces' first characters and those after their last.
    """
    if len(offsets) <= most:
        return text
    at = next((i for i, (_, end) in enumerate(offsets) if end > peak), len(offsets) - 1)
    start = max(0, min(at - round(_LEFT * most), len(offsets) - most))
    return text[offsets[start][0] : offsets[start + most - 1][1]]


def checked(vectors: Vectors, name: str) -> Vectors:
    """Round unit vectors to half precision, as they are kept; refuse what has no direction."""
    rounded: Vectors = vectors.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all() or not rounded.any(axis=1).all():
        raise CheckpointError(
            f"The embedder {name} gives a window a vector that is zero or no number; its weights "
            "are damaged, or it needs another device or precision: give another --embedder."
        )
    return rounded
