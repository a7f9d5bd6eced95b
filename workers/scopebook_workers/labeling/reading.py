"""Read passages once: their terms and origins; and cut the windows of examples from them."""

from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import Firing, Passage, window_of
from scopebook_workers.labeling.origins import Origin, origin_of
from scopebook_workers.labeling.terms import Terms, Vocabulary

#: Passages kept as read; one takes about 4 KB.
_KEPT = 50_000
#: How much more a term counts that the feature fires on, and one beside the peak; `_NEAR` falls
#: off over `_REACH` terms.
_FIRING, _NEAR, _REACH = 8.0, 3.0, 6.0
_BY_DISTANCE = (1 + _NEAR * np.exp(-np.arange(60) / _REACH)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Window:
    """The text around a peak: its terms with their weights, and what the feature fires on."""

    firing: Firing
    #: The window's first token in the passage, and the one after its last.
    tokens: tuple[int, int]
    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    origin: Origin
    document_id: int
    activation: float
    #: The firing tokens as written, each with its activation.
    fired: list[tuple[str, float]]
    at_start: bool

    @property
    def passage(self) -> Passage:
        """The passage that the window is cut from."""
        return self.firing.passage

    @property
    def text(self) -> str:
        """The window's characters."""
        first, last = self.tokens
        passage = self.passage
        return passage.text[int(passage.begins[first]) : int(passage.ends[last - 1])]


class Reader:
    """Reads with one vocabulary, and keeps what it has read lately."""

    def __init__(self) -> None:
        self.vocabulary = Vocabulary()
        self._read: OrderedDict[int, tuple[Terms, Origin]] = OrderedDict()

    def read(self, passage: Passage) -> tuple[Terms, Origin]:
        """Return the passage's terms and where it comes from."""
        known = self._read.get(passage.id)
        if known is None:
            known = self._read[passage.id] = (
                self.vocabulary.read(passage.text),
                origin_of(passage),
            )
            if len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return known

    def origin_shares(self) -> dict[str, float]:
        """Return each origin's share of the passages read."""
        counts = Counter(phrase for _, origin in self._read.values() for phrase in origin.phrases)
        return {phrase: count / len(self._read) for phrase, count in counts.items()}

    def window(self, firing: Firing) -> Window:
        """Cut the window of one example."""
        passage = firing.passage
        terms, origin = self.read(passage)
        first, last = window_of(firing)
        lower = np.searchsorted(terms.begins, passage.begins[first])
        upper = np.searchsorted(terms.begins, passage.ends[last - 1])
        part = slice(int(lower), int(upper))
        return Window(
            firing=firing,
            tokens=(first, last),
            ids=terms.ids[part],
            weights=_weights(terms, part, firing),
            origin=origin,
            document_id=passage.document_id,
            activation=float(firing.activations.max(initial=0.0)),
            fired=_firing_texts(firing),
            at_start=firing.peak <= 2 and len(passage.begins) > 20,
        )


def _weights(terms: Terms, part: slice, firing: Firing) -> NDArray[np.float32]:
    """Return 1 for a term far from where the feature fires, more for one near or on it."""
    begins, ends = terms.begins[part], terms.ends[part]
    passage = firing.passage
    peak = begins.searchsorted(passage.begins[firing.peak])
    distance = np.abs(np.arange(len(begins)) - peak)
    weights: NDArray[np.float32] = _BY_DISTANCE[np.minimum(distance, len(_BY_DISTANCE) - 1)]
    if len(firing.positions) and len(begins):
        firing_begins = passage.begins[firing.positions]
        firing_ends = passage.ends[firing.positions]
        next_one = firing_ends.searchsorted(begins, side="right")
        next_one[next_one == len(firing_ends)] = len(firing_ends) - 1
        overlaps = (firing_begins[next_one] < ends) & (firing_ends[next_one] > begins)
        shares = _FIRING / max(float(firing.activations.max()), 1e-12) * firing.activations
        weights += overlaps * shares[next_one]
    return weights


def _firing_texts(firing: Firing) -> list[tuple[str, float]]:
    text = firing.passage.text
    begins = firing.passage.begins[firing.positions].tolist()
    ends = firing.passage.ends[firing.positions].tolist()
    return [
        (text[begin:end], activation)
        for begin, end, activation in zip(begins, ends, firing.activations.tolist(), strict=True)
    ]
