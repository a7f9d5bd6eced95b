"""A fixed set of contexts of the corpus in which it is known of every feature whether it fires.

A feature's stored examples do not say where it is silent: a context may be missing from them
because the feature does not fire there, or because a stronger one took its place. In the panel's
contexts each feature was computed, so that silence in them is a fact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook.errors import InvalidInputError
from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.material import Quiet
from scopebook_workers.labeling.scoring.cases import seed_of

#: Contexts of a panel: enough that a feature in one of ten of them still has silent neighbours.
PANEL_CONTEXTS: Final = 2_000


@dataclass(frozen=True, eq=False)
class Fires:
    """Where one feature fires in a panel, one row a context."""

    contexts: NDArray[np.int32]  # positions in the panel's passages, ascending
    peaks: NDArray[np.int32]  # the strongest token
    activations: NDArray[np.float32]  # its activation


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """The contexts, and for each feature those that fire it: rows `starts[f]` to `starts[f + 1]`.

    Memory: 12 bytes for each pair of a feature and a context that fires it.
    """

    passages: Sequence[Passage]
    starts: NDArray[np.int64]  # (features + 1,)
    contexts: NDArray[np.int32]
    peaks: NDArray[np.int32]
    activations: NDArray[np.float32]

    def __post_init__(self) -> None:
        sizes = {len(self.contexts), len(self.peaks), len(self.activations)}
        ends = int(self.starts[-1]) if len(self.starts) else -1
        if sizes != {ends} or (np.diff(self.starts) < 0).any():
            raise InvalidInputError(
                f"The panel's rows do not fit together: {ends} are announced, and there are "
                f"{len(self.contexts)} contexts, {len(self.peaks)} peaks and "
                f"{len(self.activations)} activations; compute the panel again."
            )
        if ends and not 0 <= int(self.contexts.min()) <= int(self.contexts.max()) < len(self):
            raise InvalidInputError(
                f"The panel has {len(self)} contexts but a feature fires in number "
                f"{int(self.contexts.max())}; compute the panel again."
            )

    @classmethod
    def of(
        cls,
        passages: Sequence[Passage],
        *,
        n_features: int,
        features: NDArray[np.int64],
        contexts: NDArray[np.int32],
        peaks: NDArray[np.int32],
        activations: NDArray[np.float32],
    ) -> "Panel":
        """Make a panel of rows in any order, one for each feature and context that fires it."""
        order = np.lexsort((contexts, features))
        counts = np.bincount(features, minlength=n_features)
        return cls(
            passages=passages,
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            contexts=contexts[order].astype(np.int32),
            peaks=peaks[order].astype(np.int32),
            activations=activations[order].astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.passages)

    def fires(self, feature: int) -> Fires:
        """Return where a feature fires, by its index in the SAE."""
        if not 0 <= feature < len(self.starts) - 1:
            raise InvalidInputError(
                f"The panel knows {len(self.starts) - 1} features, not number {feature}; "
                "compute a panel for this SAE."
            )
        rows = slice(int(self.starts[feature]), int(self.starts[feature + 1]))
        return Fires(self.contexts[rows], self.peaks[rows], self.activations[rows])

    def only(self, kept: Sequence[bool]) -> "Panel":
        """Return the panel of those contexts alone, in the same order; `kept` says it of each."""
        chosen = np.asarray(kept, dtype=bool)
        rows = chosen[self.contexts]
        before = np.concatenate([[0], np.cumsum(rows)])
        places = np.cumsum(chosen) - 1
        return Panel(
            passages=[self.passages[place] for place in np.flatnonzero(chosen).tolist()],
            starts=before[self.starts].astype(np.int64),
            contexts=places[self.contexts[rows]].astype(np.int32),
            peaks=self.peaks[rows],
            activations=self.activations[rows],
        )

    def quiets(self) -> list[Quiet]:
        """Return for each context the window that stands for it, drawn by its text.

        Their vectors, in this order, are what `choose_negatives` compares the positives with.
        """
        return [Quiet(passage=passage, center=_center(passage)) for passage in self.passages]


def _center(passage: Passage) -> int:
    """Draw a token; never the first, on which no feature counts."""
    drawn = seed_of("center", passage.document_hash, passage.text)
    return 1 + drawn % max(1, len(passage.begins) - 1) if len(passage.begins) > 1 else 0


def as_firing(quiet: Quiet) -> Firing:
    """Return a window around the centre as if it were an example, so that it can be embedded."""
    nothing = np.zeros(0, dtype=np.int32)
    return Firing(
        passage=quiet.passage,
        peak=quiet.center,
        positions=nothing,
        activations=nothing.astype(np.float32),
    )


def nearest_features(
    directions: NDArray[np.float32], features: Sequence[int], *, n: int = 5
) -> NDArray[np.int64]:
    """Return for each wanted feature those with the nearest decoder directions (feature, n).

    `directions` (feature, d_model) need no length of one; by cosine, the nearest first.
    """
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    unit = directions / np.maximum(lengths, 1e-12)
    n = min(n, len(unit) - 1)
    found = np.empty((len(features), n), dtype=np.int64)
    for start in range(0, len(features), 512):
        some = np.asarray(features[start : start + 512], dtype=np.int64)
        cosines = unit[some] @ unit.T
        cosines[np.arange(len(some)), some] = -np.inf
        nearest = np.argpartition(-cosines, n - 1, axis=1)[:, :n] if n else found[:0]
        order = np.argsort(-np.take_along_axis(cosines, nearest, axis=1), axis=1, kind="stable")
        found[start : start + len(some)] = np.take_along_axis(nearest, order, axis=1)
    return found
