"""Features of a dump in Neuronpedia's layout, as evidence: as far as that layout tells it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scopebook.interchange.neuronpedia_examples import is_number
from scopebook.interchange.row_checks import RefusedRowError
from scopebook.packing import BINS, HISTOGRAM_EDGES, pack_counts, pack_examples, pack_pairs
from scopebook.packing import silent_examples as no_examples

COLUMNS: Final = (
    *("run_id", "feature_id", "count", "contexts", "density", "mean", "max", "flags"),
    *("histogram", "top_tokens", "top_tokens_exact", "tags", "examples"),
)


def statistics(
    row: Mapping[str, Any], *, run_id: int, feature_id: int, tokens_seen: int
) -> Sequence[Any]:
    """Return a feature's evidence before its examples are known."""
    density, largest = _number(row, "frac_nonzero"), _number(row, "maxActApprox")
    if not 0 <= density <= 1 or largest < 0:
        raise RefusedRowError("frac_nonzero is no share, or maxActApprox is negative")
    heights, values = _bars(row)
    counts = np.histogram(values, bins=HISTOGRAM_EDGES, weights=heights)[0].round()
    mean = float(np.average(values, weights=heights)) if heights.sum() > 0 else 0.0
    return (
        *(run_id, feature_id, round(density * tokens_seen) or int(heights.sum()), 0),
        *(density, mean, largest, [], pack_counts(counts.astype(np.int64))),
        *(pack_pairs([], []), False, [], pack_examples(no_examples([]))),
    )


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    if value is None:
        return 0.0
    if not is_number(value):
        raise RefusedRowError(f"{name} is no finite number")
    return float(value)


def _bars(row: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bars of its histogram that lie above 0: heights and activations."""
    heights = row.get("freq_hist_data_bar_heights") or []
    values = row.get("freq_hist_data_bar_values") or []
    lists = isinstance(heights, list) and isinstance(values, list)
    if not lists or len(heights) != len(values) or len(heights) > 100 * BINS:
        raise RefusedRowError("its histogram has not one height for each bar")
    if not all(is_number(one) and one >= 0 for one in [*heights, *values]):
        raise RefusedRowError("its histogram holds what is no number above 0")
    return np.asarray(heights, dtype=np.float64), np.asarray(values, dtype=np.float64)
