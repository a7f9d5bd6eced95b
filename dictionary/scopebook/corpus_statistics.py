"""What is usual for the features of an SAE: read once for all of them, and kept in memory."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from scopebook.db.tables import FEATURE_BITS, Evidence, Sae
from scopebook.packing import HISTOGRAM_EDGES, unpack_counts

#: Flags of features that seldom tell anything about a text, hidden where people look for meaning.
QUIET_FLAGS: Final = ("dense", "position", "register")
#: Of a feature's activations, so many are weaker than what counts as usual for it.
USUAL: Final = 0.99
#: SAEs whose numbers are kept: some megabytes each.
_KEPT: Final = 128


@dataclass(frozen=True, eq=False)
class SaeStatistics:
    """What a collection measured of each feature of an SAE, by its index."""

    density: NDArray[np.float32]  # (d_sae,) NaN where nothing was collected
    max: NDArray[np.float32]  # (d_sae,)
    #: Of its activations on the corpus, 99 % are weaker.
    usual: NDArray[np.float32]  # (d_sae,) NaN for a feature that never fired
    #: Whether it has one of `QUIET_FLAGS`.
    quiet: NDArray[np.bool_]  # (d_sae,)


_kept: OrderedDict[tuple[int, int], SaeStatistics] = OrderedDict()
_lock = Lock()


def statistics_of(session: Session, sae: Sae) -> SaeStatistics:
    """Return what the run in force measured; without a run, nothing is known of any feature."""
    if sae.current_run_id is None:
        unknown = np.full(sae.d_sae, np.nan, np.float32)
        return SaeStatistics(unknown, unknown, unknown, np.zeros(sae.d_sae, np.bool_))
    key = (sae.id, sae.current_run_id)
    with _lock:
        known = _kept.get(key)
        if known is not None:
            _kept.move_to_end(key)
            return known
    found = _read(session, sae, sae.current_run_id)
    with _lock:
        _kept[key] = found
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return found


def _read(session: Session, sae: Sae, run_id: int) -> SaeStatistics:
    first = sae.id << FEATURE_BITS
    density, largest, usual = (np.full(sae.d_sae, np.nan, np.float32) for _ in range(3))
    quiet = np.zeros(sae.d_sae, np.bool_)
    rows = session.execute(
        select(
            Evidence.feature_id,
            Evidence.density,
            Evidence.max,
            Evidence.flags,
            Evidence.histogram,
        ).where(
            Evidence.run_id == run_id, Evidence.feature_id.between(first, first + sae.d_sae - 1)
        )
    )
    for row in rows:
        index = row.feature_id - first
        density[index], largest[index] = row.density, row.max
        quiet[index] = not set(QUIET_FLAGS).isdisjoint(row.flags)
        counts = unpack_counts(row.histogram)
        usual[index] = quantile_of(counts, USUAL, largest=row.max)
    return SaeStatistics(density, largest, usual, quiet)


def quantile_of(counts: NDArray[np.int64], share: float, *, largest: float) -> float:
    """Return the activation below which `share` of a histogram's firings lie.

    Within a bin, half an octave wide, firings are taken to be spread evenly over the logarithm;
    none lies above `largest`.
    """
    total = counts.sum()
    if total == 0:
        return float("nan")
    reached = np.cumsum(counts) / total
    place = int(np.searchsorted(reached, share))
    below = float(reached[place - 1]) if place else 0.0
    within = (share - below) / max(1e-12, float(reached[place]) - below)
    low = max(float(HISTOGRAM_EDGES[place]), 2.0**-9)
    high = min(float(HISTOGRAM_EDGES[place + 1]), largest)
    return float(min(largest, low * (max(high, low) / low) ** within))
