"""Many examples at once as readers see them: tokens as text, and the activation of each."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.interchange.arrays import lists_of
from scopebook.interchange.vocabularies import Vocabularies
from scopebook.packing import ExampleSet, unpack_ints

_READ: Final = """
SELECT c.id, c.tokens, d.name AS document, p.name AS corpus
FROM context c
JOIN document d ON d.id = c.document_id
JOIN corpus p ON p.id = d.corpus_id
WHERE c.id = ANY(:ids) ORDER BY c.id
"""


class ShownExamples:
    """The examples of some features, one after the other; each context is read once."""

    def __init__(
        self,
        session: Session,
        vocabularies: Vocabularies,
        tokenizer_id: int,
        sets: Sequence[ExampleSet],
    ) -> None:
        #: The sets' columns; `active` counts each example's tokens.
        self.joined = _joined(sets)
        self.context_ids, self._place = np.unique(self.joined["context_id"], return_inverse=True)
        self._rows = session.execute(text(_READ), {"ids": self.context_ids.tolist()}).all()
        self._vocabularies = vocabularies
        self._tokenizer_id = tokenizer_id

    def spread(self, of_contexts: Any) -> Any:
        """Return what belongs to each context (in order of `context_ids`) for each example."""
        return pa.array(of_contexts).take(pa.array(self._place))

    def sources(self) -> dict[str, Any]:
        """Return where each example comes from: `corpus` and `document`, by name."""
        return {
            name: self.spread(pa.array([getattr(row, name) for row in self._rows], pa.string()))
            for name in ("corpus", "document")
        }

    def shown(self) -> dict[str, Any]:
        """Return the tokens that are shown, as text, and the activation of each."""
        tokens = [unpack_ints(row.tokens) for row in self._rows]
        start, end = self.joined["start"].tolist(), self.joined["end"].tolist()
        parts = [
            tokens[at][begin:stop] for at, begin, stop in zip(self._place, start, end, strict=True)
        ]
        sizes = np.asarray([len(part) for part in parts])
        texts = self._vocabularies.of(self._tokenizer_id, np.concatenate(parts))
        return {
            "tokens": lists_of(texts, sizes),
            "activations": lists_of(pa.array(_dense(self.joined, sizes)), sizes),
        }


def _joined(sets: Sequence[ExampleSet]) -> dict[str, NDArray[Any]]:
    """Return the sets' columns one after the other; `active` counts each example's tokens."""
    names = (
        *("context_id", "kind", "activation", "quantile", "peak", "start", "end"),
        *("positions", "shares"),
    )
    joined = {name: np.concatenate([getattr(one, name) for one in sets]) for name in names}
    joined["active"] = np.concatenate([np.diff(one.offsets) for one in sets])
    return joined


def _dense(joined: dict[str, NDArray[Any]], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the activation of every token that is shown; most are 0."""
    firsts = np.concatenate([[0], np.cumsum(sizes)])
    example = np.repeat(np.arange(len(sizes)), joined["active"])
    at = joined["positions"] - joined["start"][example]
    inside = (at >= 0) & (at < sizes[example])
    dense = np.zeros(firsts[-1], dtype=np.float32)
    amounts = joined["shares"].astype(np.float32) * joined["activation"][example]
    dense[firsts[example[inside]] + at[inside]] = amounts[inside]
    return dense
