"""Merge what the shards of a scan found: sums by part and feature, the best hits, documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Int64

SUMS: Final = ("hits", "documents", "total", "squares", "products")
#: What is noted of each document in each layer.
OF_DOCUMENTS: Final = ("id", "part", "usable", "firings", "informative", "languages")


@dataclass(frozen=True)
class Hits:
    """Documents that fire a feature."""

    part: Int64[np.ndarray, " hit"]
    feature: Int64[np.ndarray, " hit"]
    document: Int64[np.ndarray, " hit"]
    #: How many of its tokens do.
    tokens: Int64[np.ndarray, " hit"]
    #: The largest activation, the context it is in, and the position there.
    largest: Float32[np.ndarray, " hit"]
    context: Int64[np.ndarray, " hit"]
    peak: Int64[np.ndarray, " hit"]

    def __len__(self) -> int:
        return len(self.feature)

    @classmethod
    def joined(cls, parts: Sequence["Hits"]) -> "Hits":
        """Return the hits of all parts, one after the other."""
        if not parts:
            none = np.empty(0, dtype=np.int64)
            return cls(none, none, none, none, none.astype(np.float32), none, none)
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            )
        )

    def take(self, rows: Any) -> "Hits":
        """Return some of the hits, in the given order."""
        return Hits(*(getattr(self, field.name)[rows] for field in fields(self)))

    def arrays(self, prefix: str) -> dict[str, Any]:
        """Return the columns by name."""
        return {f"{prefix}{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], prefix: str) -> "Hits":
        """Return what `arrays` was taken from."""
        return cls(*(arrays[f"{prefix}{field.name}"] for field in fields(cls)))


def best_hits(hits: Hits, best: int) -> tuple[Hits, Bool[np.ndarray, " hit"]]:
    """Return the first `best` hits of each feature and part by (activation, document).

    And which of them are the last of a feature that has so many.
    """
    order = np.lexsort((hits.document, -hits.largest, hits.feature, hits.part))
    ordered = hits.take(order)
    n = len(ordered)
    begins = np.ones(n, dtype=bool)
    begins[1:] = (np.diff(ordered.feature) != 0) | (np.diff(ordered.part) != 0)
    starts = np.flatnonzero(begins)
    rank = np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n)))
    kept = rank < best
    return ordered.take(kept), (rank == best - 1)[kept]


class ScanTotals:
    """What a scan found in one layer."""

    def __init__(self, d_sae: int, *, parts: int, best: int) -> None:
        self.d_sae, self.parts, self._best = d_sae, parts, best
        #: By part and feature: tokens, documents, activation in steps of 2**-20, and over the
        #: documents the sums of x_d^2 and x_d * n_d.
        self.sums = {name: np.zeros((parts, d_sae), dtype=np.int64) for name in SUMS}
        self.largest: Float32[np.ndarray, "part d_sae"] = np.zeros((parts, d_sae), dtype=np.float32)
        self.sinks = 0
        self.best = Hits.joined([])
        self._watched: list[Hits] = []
        self._documents: dict[str, list[Any]] = {name: [] for name in OF_DOCUMENTS}

    def add(self, arrays: Mapping[str, Any]) -> None:
        """Take in `ScanState.arrays` of other documents."""
        place = arrays["place"]
        for name, sums in self.sums.items():
            sums.reshape(-1)[place] += arrays[name]
        largest = self.largest.reshape(-1)
        largest[place] = np.maximum(largest[place], arrays["largest"])
        self.sinks += int(arrays["sinks"])
        both = Hits.joined([self.best, Hits.from_arrays(arrays, "best.")])
        self.best, _ = best_hits(both, self._best)
        self._watched.append(Hits.from_arrays(arrays, "watched."))
        for name, columns in self._documents.items():
            columns.append(arrays[f"document.{name}"])

    def watched(self) -> Hits:
        """Return every hit of the watched features."""
        return Hits.joined(self._watched)

    def documents(self) -> dict[str, Any]:
        """Return the columns of `OF_DOCUMENTS`."""
        return {name: np.concatenate(columns) for name, columns in self._documents.items()}
