"""Which examples explain a feature, and which are kept from whoever words it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.evidence import FeatureEvidence, Firing

#: Changes whenever the same evidence may be sampled or split otherwise.
SAMPLE_VERSION: Final = "sample-1"
#: Contexts of distinct documents that a feature needs, near-duplicates counted once.
MIN_DOCUMENTS: Final = 30
EXPLAIN: Final = 40
HELD_OUT: Final = 20
#: Of a sample, this share is the strongest examples; the rest is spread over the quantiles.
_STRONGEST: Final = 0.25
#: A label speaks of the examples above this share of the feature's largest activation, or of so
#: many of the strongest. What fires a sparse feature weakly comes from anywhere: with it, a
#: feature whose strongest hundred contexts are Bible verses was worded as English text.
STRONG: Final = 0.4
MIN_STRONG: Final = 12

#: Why a feature is worded by keywords alone: it has no examples; too few documents; enough of
#: them, but they nearly repeat each other; or they cannot be parted into two sides.
Ineligible = Literal["silent", "few_documents", "near_duplicates", "unsplittable"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Positions in the evidence's examples, strongest first; no document is on both sides."""

    explain: Sequence[int]
    held_out: Sequence[int]


def peaks_of(firings: Sequence[Firing]) -> NDArray[np.float32]:
    """Return each example's largest activation."""
    return np.asarray([firing.activations.max(initial=0.0) for firing in firings], np.float32)


def strong_examples(evidence: FeatureEvidence, among: Sequence[int] | None = None) -> list[int]:
    """Return which examples a label speaks of, in their order; of those `among`, if given.

    Strong is measured against the feature's largest activation, wherever that example went.
    """
    peaks = peaks_of(evidence.firings)
    chosen = np.arange(len(peaks)) if among is None else np.asarray(sorted(among), dtype=np.int64)
    if not len(chosen):
        return []
    own = peaks[chosen]
    least = min(STRONG * peaks.max(), np.sort(own)[-min(MIN_STRONG, len(own))])
    return [int(i) for i in chosen[own >= least]]


def sample(evidence: FeatureEvidence) -> Sample | Ineligible:
    """Return the examples to explain by and to hold out, or why there are too few.

    Of examples that nearly repeat each other the strongest stays. The explaining ones are taken
    from the strong examples alone (see `STRONG`): both kinds were tried on the demo's features of
    known domain, and weak ones made senses of passages that have nothing to do with the feature.
    The held-out ones reach over all activations, for a score on the strongest alone would flatter.
    """
    firings = evidence.firings
    if not firings:
        return "silent"
    kept = _strongest_of_groups(firings)
    if len({firings[i].passage.document_hash for i in kept}) < MIN_DOCUMENTS:
        documents = {firing.passage.document_hash for firing in firings}
        return "few_documents" if len(documents) < MIN_DOCUMENTS else "near_duplicates"
    sides = held_out_sides(firings)
    explain = [i for i in kept if not sides[i]]
    held_out = [i for i in kept if sides[i]]
    if len(explain) < MIN_STRONG or len(held_out) < MIN_STRONG // 4:
        return "unsplittable"
    peaks = peaks_of(firings)
    return Sample(
        explain=stratified(strong_examples(evidence, explain), peaks, EXPLAIN),
        held_out=stratified(held_out, peaks, HELD_OUT),
    )


def _strongest_of_groups(firings: Sequence[Firing]) -> list[int]:
    peaks = peaks_of(firings)
    best: dict[int, int] = {}
    for i in np.lexsort((np.arange(len(peaks)), -peaks)).tolist():
        best.setdefault(firings[i].passage.group, i)
    return sorted(best.values())


def held_out_sides(firings: Sequence[Firing]) -> list[bool]:
    """Return for each example whether its document is held out, about one in three.

    Documents that hold near-duplicates of each other go to one side, by the least of their hashes;
    so the side depends on the texts and the version alone, not on an instance's numbers.
    """
    leader: dict[tuple[str, int], tuple[str, int]] = {}

    def find(node: tuple[str, int]) -> tuple[str, int]:
        while leader.setdefault(node, node) != node:
            leader[node] = node = leader[leader[node]]
        return node

    for firing in firings:
        document = find(("document", firing.passage.document_hash))
        leader[find(("group", firing.passage.group))] = document
    families: dict[tuple[str, int], int] = {}
    roots = [find(("document", firing.passage.document_hash)) for firing in firings]
    for root, firing in zip(roots, firings, strict=True):
        own = firing.passage.document_hash
        families[root] = min(families.get(root, own), own)
    return [_held_out(families[root]) for root in roots]


def may_contrast(document_hash: int) -> bool:
    """Return whether a document's texts may be shown where a feature is silent, one in three.

    Such a document is never held out for its own hash, and no label is tried on its silent texts:
    a label must not pass because its contrast comes back as a question.
    """
    return _lot(document_hash) == 1


def _held_out(document_hash: int) -> bool:
    return _lot(document_hash) == 0


def _lot(document_hash: int) -> int:
    digest = hashlib.sha256(f"{SAMPLE_VERSION} {document_hash}".encode()).digest()
    return int.from_bytes(digest[:8]) % 3


def stratified(positions: Sequence[int], peaks: NDArray[np.float32], n: int) -> list[int]:
    """Return at most n positions, strongest first: the strongest, then one of each quantile."""
    ranked = sorted(positions, key=lambda i: (-float(peaks[i]), i))
    if len(ranked) <= n:
        return ranked
    strongest = round(_STRONGEST * n)
    rest = ranked[strongest:]
    # The middle of each of as many equal stretches as there are examples to choose.
    middles = ((np.arange(n - strongest) + 0.5) * len(rest) / (n - strongest)).astype(int)
    return ranked[:strongest] + [rest[i] for i in middles]
