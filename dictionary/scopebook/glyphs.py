"""What a reader sees as one character: a letter with its marks, an emoji with its parts."""

import numpy as np
import regex
from numpy.typing import NDArray

_GLYPH = regex.compile(r"\X")


def widen_to_glyphs(text: str, spans: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return spans (token, 2) of characters, widened so that none begins or ends inside a glyph.

    A mark, or a part of an emoji, that stands alone would be drawn as something else.
    """
    if text.isascii():
        return spans
    first = np.arange(len(text) + 1, dtype=np.int32)
    last = first.copy()
    for glyph in _GLYPH.finditer(text):
        start, end = glyph.span()
        if end - start > 1:
            first[start:end] = start
            last[start + 1 : end + 1] = end
    widened: NDArray[np.int32] = np.stack([first[spans[:, 0]], last[spans[:, 1]]], axis=1)
    # A token without characters stays where it is.
    return np.where(spans[:, :1] == spans[:, 1:], spans, widened)
