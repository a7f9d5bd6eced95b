"""Batches of a dump's table of examples: put together column by column, since it has most rows."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.interchange.arrays import lists_of
from scopebook.interchange.dump_context import evidence_of
from scopebook.interchange.layout import BY_NAME
from scopebook.interchange.numbering import DumpedSae, Numbers
from scopebook.interchange.vocabularies import Vocabularies
from scopebook.packing import BEST, ExampleSet, unpack_examples, unpack_ints

_KINDS: Final = {BEST: "best"}


def example_batches(session: Session, numbers: Numbers) -> Iterator[pa.RecordBatch]:
    """Yield the examples in order of SAE, run, feature and their place."""
    vocabularies = Vocabularies(session)
    for sae in numbers.saes:
        for run_id, run in numbers.runs.items():
            for rows in evidence_of(session, run_id, sae.first_id, sae.end_id):
                sets = [unpack_examples(row.examples) for row in rows]
                if any(len(one) for one in sets):
                    indices = [row.feature_id - sae.first_id for row in rows]
                    yield _batch(session, vocabularies, sae, run, indices, sets)


def _batch(
    session: Session,
    vocabularies: Vocabularies,
    sae: DumpedSae,
    run: int,
    indices: Sequence[int],
    sets: Sequence[ExampleSet],
) -> pa.RecordBatch:
    sizes = [len(one) for one in sets]
    joined = _joined(sets)
    contexts = _Contexts(session, joined["context_id"])
    index = np.repeat(np.asarray(indices, dtype=np.int32), sizes)
    names = pa.array([sae.feature(at) for at in indices])
    columns = {
        "feature": names.take(pa.array(np.repeat(np.arange(len(sets)), sizes))),
        "release": pa.array([sae.release] * len(index)),
        "layer": np.full(len(index), sae.layer, dtype=np.int16),
        "index": index,
        "run": np.full(len(index), run, dtype=np.int32),
        "position": np.concatenate([np.arange(size) for size in sizes]).astype(np.int16),
        "kind": pa.array([_KINDS.get(kind, "sample") for kind in joined["kind"].tolist()]),
        **{name: joined[name] for name in ("activation", "quantile", "peak", "start", "end")},
        "context": contexts.numbers,
        "positions": lists_of(pa.array(joined["positions"]), joined["active"]),
        "shares": lists_of(pa.array(joined["shares"].astype(np.float32)), joined["active"]),
        **contexts.named(),
        **contexts.shown(joined, vocabularies, sae.tokenizer_id),
    }
    table = BY_NAME["examples"]
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[column.name], type=column.type) for column in table.columns],
        schema=table.schema,
    )


def _joined(sets: Sequence[ExampleSet]) -> dict[str, NDArray[Any]]:
    """Return the sets' columns one after the other; `active` counts each example's tokens."""
    names = (
        *("context_id", "kind", "activation", "quantile", "peak", "start", "end"),
        *("positions", "shares"),
    )
    joined = {name: np.concatenate([getattr(one, name) for one in sets]) for name in names}
    joined["active"] = np.concatenate([np.diff(one.offsets) for one in sets])
    return joined


_READ: Final = """
SELECT c.id, o.number, c.tokens, d.name AS document, p.name AS corpus
FROM context c
JOIN out_context o ON o.id = c.id
JOIN document d ON d.id = c.document_id
JOIN corpus p ON p.id = d.corpus_id
WHERE c.id = ANY(:ids) ORDER BY c.id
"""


class _Contexts:
    """The contexts of a batch of examples; each is read once."""

    def __init__(self, session: Session, context_ids: NDArray[np.int64]) -> None:
        ids, self._place = np.unique(context_ids, return_inverse=True)
        rows = session.execute(text(_READ), {"ids": ids.tolist()}).all()
        self._rows = rows
        self._tokens = [unpack_ints(row.tokens) for row in rows]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each example's context."""
        return np.asarray([row.number for row in self._rows], dtype=np.int64)[self._place]

    def named(self) -> dict[str, Any]:
        """Return the columns that say where an example comes from."""
        place = pa.array(self._place)
        return {
            name: pa.array([getattr(row, name) for row in self._rows]).take(place)
            for name in ("corpus", "document")
        }

    def shown(
        self, joined: dict[str, NDArray[Any]], vocabularies: Vocabularies, tokenizer_id: int
    ) -> dict[str, Any]:
        """Return the columns that show an example: its tokens as text, and their activations."""
        start, end = joined["start"], joined["end"]
        parts = [
            self._tokens[at][begin:stop]
            for at, begin, stop in zip(self._place, start.tolist(), end.tolist(), strict=True)
        ]
        sizes = np.asarray([len(part) for part in parts])
        texts = vocabularies.of(tokenizer_id, np.concatenate(parts))
        return {
            "tokens": lists_of(texts, sizes),
            "activations": lists_of(pa.array(_dense(joined, sizes)), sizes),
        }


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
