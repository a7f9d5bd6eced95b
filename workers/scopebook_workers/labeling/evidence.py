"""What the labeler is given: passages of text, and where features fire in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Passage:
    """A context as text, with the characters of each token and the facts about its document."""

    id: int
    document_id: int
    #: From the document's text alone, so the same on every instance.
    document_hash: int
    #: The context that this one nearly repeats, or itself.
    group: int
    text: str
    begins: NDArray[np.int32]  # (tokens,) first character of each token in `text`
    ends: NDArray[np.int32]  # (tokens,) the one after its last
    tag: str | None
    language: str | None
    #: The document that its own nearly repeats, if any.
    near_document_id: int | None = None

    @property
    def family(self) -> int:
        """The earliest of the documents that nearly repeat each other, or its own."""
        return self.document_id if self.near_document_id is None else self.near_document_id


@dataclass(frozen=True, kw_only=True, eq=False)
class Firing:
    """One example: a passage, its strongest token, and all active tokens with activations."""

    passage: Passage
    peak: int
    positions: NDArray[np.int32]
    activations: NDArray[np.float32]
    #: The feature's number in its SAE, where it is one of the dictionary's.
    feature: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureEvidence:
    """The examples of one feature, and its firing tokens with their share of the activation."""

    firings: Sequence[Firing]
    top_tokens: Sequence[tuple[bytes, float]] = ()


#: A window's tokens: what stands before the peak is what the model saw when it fired, but the
#: text after it also tells what it is about. Short windows find the senses of one word badly.
LEFT_TOKENS = 128
WINDOW_TOKENS = 192


def window_of(firing: Firing) -> tuple[int, int]:
    """Return the window's first token and the one after its last, shifted to stay inside."""
    n_tokens = len(firing.passage.begins)
    start = max(0, min(firing.peak - LEFT_TOKENS, n_tokens - WINDOW_TOKENS))
    return start, min(n_tokens, start + WINDOW_TOKENS)
