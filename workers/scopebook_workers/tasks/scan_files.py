"""Write what a scan found of all features and documents as Parquet files."""

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scopebook.artifacts import write_artifact
from scopebook.db.tables import FEATURE_BITS
from scopebook.scan_contrasts import Contrast, contrast
from scopebook.scan_files import FEATURE_COLUMNS, HIT_COLUMNS
from scopebook_workers.sae.scan_totals import Hits
from scopebook_workers.sae.statistics import STEPS_PER_UNIT
from scopebook_workers.tasks.scan_merge import Found

_ROWS: Final = 65_536


def write_features(name: str, found: Found, whole: Contrast) -> None:
    """Write a row for each feature: of all documents, and of each part if there are several."""
    tables = [_features(found, whole, None)]
    if len(found.plan.parts) > 1:
        ranked, reference = ~found.flagged(), found.reference()
        for number in range(len(found.plan.parts)):
            held = contrast(
                found.side(number), reference, ranked=ranked, fdr=found.plan.parameters.fdr
            )
            tables.append(_features(found, held, number))
    write_artifact(name, partial(_write, table=pa.concat_tables(tables)))


def _write(file: BinaryIO, *, table: pa.Table) -> None:
    pq.write_table(table, file, row_group_size=_ROWS)


def _features(found: Found, held: Contrast, part: int | None) -> pa.Table:
    plan, n = found.plan, len(held.fdr)
    documents = plan.documents if part is None else [plan.documents[part]]
    share = held.one.clusters / max(sum(documents), 1)
    mean = found.over_layers("total", part) / STEPS_PER_UNIT / np.maximum(held.one.hits, 1)
    names, labels, flags = zip(*_described(found), strict=True)
    layers = [np.full(layer.d_sae, layer.layer, dtype=np.int16) for layer in plan.layers]
    feature_ids = found.feature_ids()
    columns: dict[str, Any] = {
        "feature": pa.array(names),
        "feature_id": feature_ids,
        "layer": np.concatenate(layers),
        "index": (feature_ids & (2**FEATURE_BITS - 1)).astype(np.int32),
        "part": pa.array(["" if part is None else plan.parts[part]] * n),
        "label": pa.array(labels, pa.string()),
        "flags": pa.array(flags, pa.list_(pa.string())),
        "tokens": held.one.hits,
        "documents": held.one.clusters,
        "share": share,
        "rate": held.one.rate,
        "other_tokens": held.other.hits,
        "other_contexts": held.other.clusters,
        "other_rate": held.other.rate,
        "mean": mean,
        "max": found.over_layers("largest", part).astype(np.float64),
        "log2": held.ratios.log2,
        "low": held.ratios.low,
        "high": held.ratios.high,
        "p": held.ratios.p,
        # Null and not NaN: other programs would take NaN for the largest number.
        "fdr": pa.array(held.fdr, mask=np.isnan(held.fdr)),
    }
    return pa.table({name: columns[name] for name in FEATURE_COLUMNS})


def _described(found: Found) -> Iterator[tuple[str, str | None, list[str]]]:
    for layer in found.plan.layers:
        for index in range(layer.d_sae):
            yield f"{layer.prefix}{index}", layer.labels.get(index), layer.flags.get(index, [])


def write_hits(name: str, found: Found) -> None:
    """Write each feature's best documents, and of the watched ones every document, by feature."""
    tables = []
    watched_ids = np.asarray(found.plan.parameters.watched, dtype=np.int64)
    for layer, totals in zip(found.plan.layers, found.totals, strict=True):
        watched = totals.watched()
        of_layer = watched_ids[watched_ids >> FEATURE_BITS == layer.sae_id]
        some = totals.best.take(~np.isin(totals.best.feature, of_layer & (2**FEATURE_BITS - 1)))
        every = np.concatenate([np.zeros(len(some), dtype=bool), np.ones(len(watched), dtype=bool)])
        hits = Hits.joined([some, watched])
        order = np.lexsort((hits.document, -hits.largest, hits.feature))
        tables.append(_hits(found, hits.take(order), every[order], layer.sae_id, layer.prefix))
    write_artifact(name, partial(_write, table=pa.concat_tables(tables)))


def _hits(found: Found, hits: Hits, every: NDArray[np.bool_], sae_id: int, prefix: str) -> pa.Table:
    parts = np.asarray(found.plan.parts, dtype=object)
    columns: dict[str, Any] = {
        "feature": pa.array([f"{prefix}{index}" for index in hits.feature.tolist()], pa.string()),
        "feature_id": (sae_id << FEATURE_BITS) + hits.feature,
        "part": pa.array(parts[hits.part].tolist(), pa.string()),
        "document_id": hits.document,
        "tokens": hits.tokens,
        "max": hits.largest.astype(np.float64),
        "context_id": hits.context,
        "peak": hits.peak,
        # Whether these are all documents that fire it, and not only the strongest.
        "complete": every,
    }
    return pa.table({name: columns[name] for name in HIT_COLUMNS})
