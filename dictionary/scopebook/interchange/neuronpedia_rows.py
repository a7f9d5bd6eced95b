"""Rows of a dump in Neuronpedia's layout. Every row of a table has all its keys: the importer takes
the columns from the first."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.label_tables import Label
from scopebook.db.tables import FEATURE_BITS, Evidence, Feature, Sae
from scopebook.interchange.arrays import as_json
from scopebook.interchange.neuronpedia_intervals import intervals
from scopebook.interchange.neuronpedia_layout import (
    BATCH,
    BOT,
    TYPES,
    model_id,
    row_id,
    source_id,
)
from scopebook.interchange.numbering import DumpedSae
from scopebook.interchange.shown_examples import ShownExamples
from scopebook.interchange.vocabularies import Vocabularies
from scopebook.packing import (
    BEST,
    HISTOGRAM_EDGES,
    ExampleSet,
    unpack_counts,
    unpack_examples,
    unpack_pairs,
)

Row = dict[str, Any]


def _named(sae: DumpedSae, index: int) -> Row:
    return {
        "modelId": model_id(sae.model),
        "layer": source_id(sae.layer, sae.set_name),
        "index": str(index),
    }


def batches_of_features(session: Session, sae: DumpedSae) -> Iterator[list[Any]]:
    """Yield the features of an SAE, each with the evidence of the run that is shown."""
    run_id = session.get_one(Sae, sae.id).current_run_id
    for first in range(0, sae.d_sae, BATCH):
        yield list(
            session.execute(
                select(Feature, Evidence)
                .outerjoin(
                    Evidence, (Evidence.feature_id == Feature.id) & (Evidence.run_id == run_id)
                )
                .where(
                    Feature.id >= sae.first_id + first, Feature.id < sae.first_id + first + BATCH
                )
                .order_by(Feature.id)
            )
        )
        session.expunge_all()


#: Columns that may not be null there, and have nothing here to be filled with.
_NOTHING: Final = (
    *("logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
    *("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    *("correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1"),
    *("correlated_features_indices", "correlated_features_pearson", "correlated_features_l1"),
    *("decoder_weights_dist", "vector"),
)


def feature_row(
    sae: DumpedSae, feature: Feature, evidence: Evidence | None, texts: Vocabularies
) -> Row:
    """Return a feature as its `Neuron`."""
    promoted, suppressed = unpack_pairs(feature.promoted), unpack_pairs(feature.suppressed)
    neighbours = unpack_pairs(feature.neighbours)
    heights, values = _bars(evidence)
    return _named(sae, feature.index) | {
        "sourceSetName": sae.set_name,
        "creatorId": BOT,
        "maxActApprox": evidence.max if evidence else 0.0,
        "frac_nonzero": evidence.density if evidence else 0.0,
        "pos_str": _texts(texts, sae, promoted),
        "pos_values": [value for _, value in promoted],
        "neg_str": _texts(texts, sae, suppressed),
        "neg_values": [value for _, value in suppressed],
        "freq_hist_data_bar_heights": heights,
        "freq_hist_data_bar_values": values,
        "topkCosSimIndices": [index for index, _ in neighbours],
        "topkCosSimValues": [value for _, value in neighbours],
        "hasVector": False,
        "vectorLabel": None,
        "hookName": f"blocks.{sae.layer}.hook_resid_post",
        **{name: [] for name in _NOTHING},
    }


def _texts(texts: Vocabularies, sae: DumpedSae, pairs: Sequence[tuple[int, float]]) -> list[str]:
    found = texts.of(sae.tokenizer_id, [token_id for token_id, _ in pairs])
    return [_clean(text) for text in found.to_pylist()]


def _clean(text: str | None) -> str:
    """Return text that its database can hold."""
    return (text or "").replace("\x00", " ")


def _clean_lists(lists: Any) -> Any:
    """Return lists of texts, each as `_clean` leaves it."""
    clean = pc.replace_substring(pc.fill_null(lists.values, ""), "\x00", " ")
    return pa.ListArray.from_arrays(lists.offsets, clean)


def _bars(evidence: Evidence | None) -> tuple[list[float], list[float]]:
    """Return the bins that hold something, as heights and the middles of their edges."""
    if evidence is None:
        return [], []
    counts = unpack_counts(evidence.histogram)
    filled = np.flatnonzero(counts)
    low, high = HISTOGRAM_EDGES[filled], HISTOGRAM_EDGES[filled + 1]
    middles = np.where(np.isinf(high), low, (low + np.where(np.isinf(high), low, high)) / 2)
    return counts[filled].astype(float).tolist(), middles.tolist()


def activation_rows(
    session: Session, sae: DumpedSae, rows: Sequence[Any], texts: Vocabularies
) -> Iterator[Row]:
    """Yield the examples of some features as its `Activation`s."""
    shown = [(row.Feature.index, unpack_examples(row.Evidence.examples)) for row in rows]
    shown = [(index, examples) for index, examples in shown if len(examples)]
    if not shown:
        return
    joined = ShownExamples(session, texts, sae.tokenizer_id, [examples for _, examples in shown])
    sources = {name: values.to_pylist() for name, values in joined.sources().items()}
    columns = joined.shown()
    tokens, activations = _clean_lists(columns["tokens"]), columns["activations"]
    at = 0
    for index, examples in shown:
        for position, bins in enumerate(_intervals(examples)):
            values = activations[at].as_py()
            peak = int(examples.peak[position] - examples.start[position])
            yield {
                "id": row_id(sae.feature(index), "activation", position),
                **_named(sae, index),
                "tokens": tokens[at].as_py(),
                "values": values,
                "maxValue": values[peak],
                "maxValueTokenIndex": peak,
                "minValue": min(values),
                "qualifyingTokenIndex": peak,
                **dict(zip(("binMin", "binMax", "binContains"), bins, strict=True)),
                "dataSource": _clean(sources["corpus"][at]),
                "dataIndex": _clean(sources["document"][at]),
                "dfaValues": [],
                "zQIndices": [],
                "zKIndices": [],
                "zValues": [],
                "lossValues": [],
                "creatorId": BOT,
            }
            at += 1


def _intervals(examples: ExampleSet) -> list[tuple[float, float, float]]:
    return intervals(examples.kind == BEST, examples.quantile, examples.activation)


def explanation_rows(session: Session, sae: DumpedSae) -> Iterator[Row]:
    """Yield the labels in force, those of senses too, as its `Explanation`s."""
    labels = session.scalars(
        select(Label)
        .where(Label.sae_id == sae.id, Label.current)
        .order_by(Label.feature_id, Label.sense_id.is_not(None), Label.id),
        execution_options={"yield_per": BATCH},
    )
    for label in labels:
        index = label.feature_id & (2**FEATURE_BITS - 1)
        origin = {
            "scopebook": 1,
            "source": label.source,
            "method": label.method,
            "author": label.author,
            "of": "feature" if label.sense_id is None else "sense",
            "description": label.description,
        }
        yield {
            "id": row_id(sae.feature(index), "explanation", label.text, as_json(origin)),
            **_named(sae, index),
            "authorId": BOT,
            "description": _clean(label.text),
            "embedding": None,
            "typeName": TYPES[label.source],
            "explanationModelName": label.method if label.source == "llm" else None,
            # Not of its own dumps, but columns of its table, which its importer fills.
            "notes": as_json(origin),
            "createdAt": label.created_at.isoformat(),
        }
