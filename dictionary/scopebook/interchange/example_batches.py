"""Batches of a dump's table of examples: put together column by column, since it has most rows."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from scopebook.interchange.arrays import lists_of
from scopebook.interchange.dump_context import evidence_of
from scopebook.interchange.layout import BY_NAME
from scopebook.interchange.numbering import DumpedSae, Numbers
from scopebook.interchange.shown_examples import ShownExamples
from scopebook.interchange.vocabularies import Vocabularies
from scopebook.packing import BEST, ExampleSet, unpack_examples

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
    examples = ShownExamples(session, vocabularies, sae.tokenizer_id, sets)
    joined = examples.joined
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
        "context": examples.spread(_numbers(session, examples.context_ids)),
        "positions": lists_of(pa.array(joined["positions"]), joined["active"]),
        "shares": lists_of(pa.array(joined["shares"].astype(np.float32)), joined["active"]),
        **examples.sources(),
        **examples.shown(),
    }
    table = BY_NAME["examples"]
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[column.name], type=column.type) for column in table.columns],
        schema=table.schema,
    )


def _numbers(session: Session, context_ids: NDArray[np.int64]) -> list[int]:
    rows = session.execute(
        text("SELECT number FROM out_context WHERE id = ANY(:ids) ORDER BY id"),
        {"ids": context_ids.tolist()},
    )
    return [row.number for row in rows]
