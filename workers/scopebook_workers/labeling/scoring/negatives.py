"""Choose what a label must not fit: random windows, near ones, and those of near features."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import Firing, Passage
from scopebook_workers.labeling.material import Quiet
from scopebook_workers.labeling.scoring.cases import seed_of
from scopebook_workers.labeling.scoring.panel import Panel

#: Changes whenever the same panel and examples may give other negatives.
SAMPLE_VERSION: Final = "negatives-1"
N_RANDOM: Final = 20
N_NEAR: Final = 10
N_BESIDE: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Negatives:
    """Windows in which the feature is silent, as many as were found."""

    random: Sequence[Quiet]
    #: Panel windows most like the positives, nearest first.
    near: Sequence[Quiet]
    #: Panel windows around the peaks of the features with the nearest directions.
    beside: Sequence[Quiet]
    #: How many of `random`, its last ones, come from other features' examples: there the feature
    #: is only likely to be silent.
    n_foreign: int = 0

    @property
    def hard(self) -> list[Quiet]:
        """Return both kinds of hard ones in turn, so that any first few hold both."""
        turns = zip_longest(self.near, self.beside)
        return [quiet for pair in turns for quiet in pair if quiet is not None]

    def shortage(self) -> str | None:
        """Say what could not be found, or None."""
        found = {
            f"{len(self.random)} of {N_RANDOM} random": len(self.random) < N_RANDOM,
            f"{len(self.near)} of {N_NEAR} near": len(self.near) < N_NEAR,
            f"{len(self.beside)} of {N_BESIDE} of neighbouring features": (
                len(self.beside) < N_BESIDE
            ),
        }
        short = [text for text, holds in found.items() if holds]
        if self.n_foreign:
            short.append(f"{self.n_foreign} random ones are from other features' examples")
        return "; ".join(short) or None


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """The panel with a vector for each of its windows, shared by all features of an SAE."""

    panel: Panel
    #: `panel.quiets()`, one a context.
    windows: Sequence[Quiet]
    vectors: NDArray[np.float32]  # (context, dimension), unit


def choose_negatives(
    search: Search,
    feature: int,
    *,
    key: str,
    firings: Sequence[Firing],
    held_out: Sequence[int],
    positive_vectors: NDArray[np.float32],
    neighbours: Sequence[int],
    foreign: Sequence[Firing] = (),
) -> Negatives:
    """Choose a feature's negatives; `key` names it, and with it and the inputs they are fixed.

    `feature` and `neighbours` are indices in the SAE, nearest first; `firings` are all examples,
    of which `held_out` may be scored on; `positive_vectors` (window, dimension) are theirs. No
    negative is of a document that has an example outside of `held_out`, nor nearly repeats any
    example. Where the panel has too few, `foreign` (other features' examples) fill `random`.
    """
    chooser = Chooser(search.panel, feature, firings, frozenset(held_out))
    beside = chooser.take(beside_peaks(search.panel, feature, neighbours), N_BESIDE)
    near = chooser.take(nearest_windows(search, positive_vectors), N_NEAR)
    rng = np.random.default_rng(seed_of(SAMPLE_VERSION, key))
    drawn = (search.windows[i] for i in rng.permutation(len(search.windows)).tolist())
    random = chooser.take(drawn, N_RANDOM)
    others = (foreign[i] for i in rng.permutation(len(foreign)).tolist())
    filled = chooser.take(
        (Quiet(passage=firing.passage, center=firing.peak) for firing in others),
        N_RANDOM - len(random),
    )
    return Negatives(random=[*random, *filled], near=near, beside=beside, n_foreign=len(filled))


class Chooser:
    """Takes windows in which one feature is silent, each text once.

    None of a document that has an example outside of `held_out`, or nearly repeats such a one.
    """

    def __init__(
        self,
        panel: Panel,
        feature: int,
        firings: Sequence[Firing],
        held_out: frozenset[int] = frozenset(),
    ) -> None:
        fired = (panel.passages[i].id for i in panel.fires(feature).contexts.tolist())
        self._fired = {*fired, *(firing.passage.id for firing in firings)}
        seen = [f.passage for place, f in enumerate(firings) if place not in held_out]
        self._documents = {passage.document_hash for passage in seen}
        self._families = {passage.family for passage in seen}
        self._groups = {firing.passage.group for firing in firings}

    def take(self, quiets: Iterable[Quiet], n: int) -> list[Quiet]:
        """Return the first `n` that may be taken; none of them is taken again."""
        taken: list[Quiet] = []
        for quiet in quiets:
            if len(taken) >= n:
                break
            if self._allows(quiet.passage):
                self._groups.add(quiet.passage.group)
                taken.append(quiet)
        return taken

    def _allows(self, passage: Passage) -> bool:
        return (
            passage.id not in self._fired
            and passage.group not in self._groups
            and passage.document_hash not in self._documents
            and passage.family not in self._families
        )


def nearest_windows(search: Search, positives: NDArray[np.float32]) -> Iterator[Quiet]:
    """Yield the windows by their cosine with the positive that each is nearest to."""
    if not len(positives) or not len(search.vectors):
        return
    cosines = (search.vectors @ positives.T).max(axis=1)
    for place in np.argsort(-cosines, kind="stable").tolist():
        yield search.windows[place]


def beside_peaks(panel: Panel, feature: int, neighbours: Sequence[int]) -> Iterator[Quiet]:
    """Yield windows around the neighbours' peaks, a neighbour in turn, its strongest first.

    Where the feature fires too is left out before the turns are taken: else the nearest
    neighbours, who fire with it most often, would lose most of theirs.
    """
    fired = frozenset(panel.fires(feature).contexts.tolist())
    for turn in zip_longest(*(_peaks(panel, neighbour, fired) for neighbour in neighbours)):
        yield from (quiet for quiet in turn if quiet is not None)


def _peaks(panel: Panel, neighbour: int, fired: frozenset[int]) -> Iterator[Quiet]:
    """Yield the windows of one neighbour; few of many are ever asked for."""
    fires = panel.fires(neighbour)
    for row in np.argsort(-fires.activations, kind="stable").tolist():
        if (context := int(fires.contexts[row])) not in fired:
            yield Quiet(passage=panel.passages[context], center=int(fires.peaks[row]))
