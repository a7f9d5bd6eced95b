"""Windows as vectors by a sentence-transformers model that runs here."""

from collections.abc import Sequence
from typing import Any, Final

from scopebook_workers.labeling.embedders import LocalEmbedder
from scopebook_workers.labeling.encoding import around_peak, checked, peak_in, text_keys, text_of
from scopebook_workers.labeling.reading import Window
from scopebook_workers.labeling.window_vectors import Vectors

#: A model's own marks around a text, and what a text that is cut may be more than its parts.
_SPARE_PIECES: Final = 4


class ModelEncoder:
    """A sentence-transformers model that reads windows as text."""

    def __init__(self, embedder: LocalEmbedder) -> None:
        self._embedder = embedder
        self._most = _most_pieces(embedder.model)

    @property
    def id(self) -> str:
        """The model's name without an owner or folder, the hash of its weights, what it reads."""
        name = self._embedder.name.rstrip("/").rsplit("/", 1)[-1]
        return f"{name}@{self._embedder.sha256[:16]}, {self._most or 'all'} tokens"

    def keys(self, windows: Sequence[Window]) -> list[bytes]:
        """Return the hashes of the texts that the model reads."""
        return text_keys(self._texts(windows))

    def encode(self, windows: Sequence[Window]) -> Vectors:
        """Return a unit vector for each window, rounded to half precision."""
        return checked(self._embedder.embed(self._texts(windows)), self._embedder.name)

    def _texts(self, windows: Sequence[Window]) -> list[str]:
        """Return the windows' texts; of those too long, what stands around the peak."""
        texts = [text_of(window) for window in windows]
        if self._most is None or not texts:
            return texts
        pieces = self._embedder.model.tokenizer(
            texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return [
            around_peak(text, offsets, peak_in(window), self._most)
            for text, offsets, window in zip(texts, pieces["offset_mapping"], windows, strict=True)
        ]


def _most_pieces(model: Any) -> int | None:
    """Return how many pieces of a text a model reads; None: not known, or it has no fast cut."""
    most = model.max_seq_length
    if most is None or not getattr(model.tokenizer, "is_fast", False):
        return None
    return max(1, int(most) - _SPARE_PIECES)
