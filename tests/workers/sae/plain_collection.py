"""A collection that keeps everything and counts with plain Python: what `FeatureState` must equal.

Nothing is shared with the code it checks but the way lots are drawn.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
import torch

from scopebook.packing import BEST, BINS, HISTOGRAM_EDGES, SAMPLE
from scopebook_workers.sae.candidates import Limits
from scopebook_workers.sae.lots import draw_lots, mix

STEP = Fraction(1, 2**20)


@dataclass
class PlainContext:
    """One context: its tokens and every activation in it, by position and feature."""

    id: int
    key: int
    tag: str | None
    tokens: list[int]
    activations: dict[tuple[int, int], np.float32]
    sinks: frozenset[int] = frozenset()
    #: The context that this one nearly repeats; None for itself.
    near: int | None = None

    @property
    def group(self) -> int:
        """What it stands for among the best."""
        return self.id if self.near is None else self.near


@dataclass
class PlainExample:
    """One example, as a person would write it down."""

    context: int
    kind: int
    activation: float
    quantile: float
    peak: int
    start: int
    end: int
    active: list[tuple[int, np.float16]]


@dataclass
class PlainEvidence:
    """Everything about one feature."""

    count: int = 0
    contexts: int = 0
    density: float = 0.0
    mean: float = 0.0
    max: float = 0.0
    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    flags: list[str] = field(default_factory=list)
    first_context_id: int | None = None
    last_context_id: int | None = None
    top_tokens: list[tuple[int, float]] = field(default_factory=list)
    top_tokens_exact: bool = True
    tags: list[tuple[str, float, float]] = field(default_factory=list)
    examples: list[PlainExample] = field(default_factory=list)


Firing = tuple[int, np.float32]


def plain_evidence(contexts: list[PlainContext], d_sae: int, limits: Limits) -> list[PlainEvidence]:
    """Return every feature's evidence."""
    tokens = sum(max(len(c.tokens) - 1, 0) - len(c.sinks) for c in contexts)
    return [_of_feature(contexts, feature, tokens, limits) for feature in range(d_sae)]


def _firings(context: PlainContext, feature: int) -> list[Firing]:
    return sorted(
        (position, value)
        for (position, of), value in context.activations.items()
        if of == feature and position > 0 and position not in context.sinks and value > 0
    )


def _of_feature(
    contexts: list[PlainContext], feature: int, tokens: int, limits: Limits
) -> PlainEvidence:
    fired = {c.id: firings for c in contexts if (firings := _firings(c, feature))}
    masked = _masked(contexts, feature)
    if not fired:
        return PlainEvidence(flags=["dead", "register"] if len(masked) >= 10 else ["dead"])
    by_id = {c.id: c for c in contexts}
    values = [value for firings in fired.values() for _, value in firings]
    evidence = PlainEvidence(
        count=len(values),
        contexts=len(fired),
        density=len(values) / tokens,
        mean=float(sum(round(Fraction(float(v)) / STEP) for v in values) * STEP / len(values)),
        max=float(max(values)),
    )
    for value in values:
        evidence.histogram[bisect_right(HISTOGRAM_EDGES.tolist(), float(value)) - 1] += 1
    evidence.first_context_id, evidence.last_context_id = min(fired), max(fired)
    top_tokens, evidence.top_tokens_exact = _top_tokens(by_id, fired, feature, limits)
    evidence.top_tokens = top_tokens[:20]
    evidence.tags = _tags(contexts, fired)
    evidence.flags = _flags(evidence, fired, tokens, masked)
    evidence.examples = _examples(by_id, fired, feature, limits)
    return evidence


def _masked(contexts: list[PlainContext], feature: int) -> list[np.float32]:
    """Return the activations at first positions and sinks."""
    return [
        value
        for context in contexts
        for (position, of), value in context.activations.items()
        if of == feature and (position == 0 or position in context.sinks) and value > 0
    ]


def _steps(value: np.float32) -> int:
    return round(Fraction(float(value)) / STEP)


def _top_tokens(
    by_id: dict[int, PlainContext], fired: dict[int, list[Firing]], feature: int, limits: Limits
) -> tuple[list[tuple[int, float]], bool]:
    """Return the shares of mass by token: of all firings, or of those with the highest lots."""
    drawn = sorted(
        (
            (*_priority(by_id[c].key, position, feature, value), by_id[c].tokens[position], value)
            for c, firings in fired.items()
            for position, value in firings
        ),
        reverse=True,
    )
    exact = len(drawn) <= limits.draws
    dropped = 0.0 if exact else float(drawn[limits.draws][0]) * 2**24
    mass: dict[int, float] = defaultdict(float)
    for _, _, token, value in sorted(drawn[: limits.draws], key=lambda draw: (draw[2], draw[3])):
        mass[token] += max(float(value), dropped)
    total = sum(mass[token] for token in sorted(mass))
    ordered = sorted(mass.items(), key=lambda entry: (-entry[1], entry[0]))
    return [(token, amount / total) for token, amount in ordered], exact


def _priority(key: int, position: int, feature: int, value: np.float32) -> tuple[np.float32, int]:
    """Return the size that a firing competes with, and what decides between equal ones."""
    lot = int(mix(mix(torch.tensor([key])) + position)[0])
    chance = int(mix(torch.tensor([lot]) + feature)[0]) % 2**64
    u = np.float32((chance >> 40) + 1)
    return np.float32(value / u), chance & (2**32 - 1)


def _tags(
    contexts: list[PlainContext], fired: dict[int, list[Firing]]
) -> list[tuple[str, float, float]]:
    usual = Counter(c.tag for c in contexts)
    here = Counter(c.tag for c in contexts if c.id in fired)
    shares = {tag: count / len(fired) for tag, count in here.items() if tag is not None}
    rows = [
        (tag, share, share / (usual[tag] / len(contexts)))
        for tag, share in shares.items()
        if share >= 0.05
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def _flags(
    evidence: PlainEvidence,
    fired: dict[int, list[Firing]],
    tokens: int,
    masked: list[np.float32],
) -> list[str]:
    positions = Counter(position for firings in fired.values() for position, _ in firings)
    enough = evidence.count >= 10
    dense = evidence.count > 0.1 * tokens
    flags = ["dense"] if dense else []
    if enough and evidence.top_tokens[0][1] >= 0.9:
        flags.append("token")
    if enough and max(positions.values()) >= 0.9 * evidence.count:
        flags.append("position")
    on_masked = sum(map(_steps, masked))
    usual = sum(_steps(value) for firings in fired.values() for _, value in firings)
    histogram = evidence.histogram
    octave = max(a + b for a, b in pairwise(histogram))
    if (len(masked) >= 10 and on_masked >= usual) or (
        dense and enough and octave >= 0.9 * evidence.count
    ):
        flags.append("register")
    return flags


def _peak(firings: list[Firing]) -> Firing:
    return max(firings, key=lambda firing: (firing[1], -firing[0]))


def _examples(
    by_id: dict[int, PlainContext], fired: dict[int, list[Firing]], feature: int, limits: Limits
) -> list[PlainExample]:
    peaks = {context: _peak(firings)[1] for context, firings in fired.items()}
    ordered = sorted(fired, key=lambda context: (-peaks[context], context))
    strongest_of = {by_id[c].group: c for c in reversed(ordered)}
    best = [c for c in ordered if strongest_of[by_id[c].group] == c][: limits.best]
    sample = sorted(fired, key=lambda c: (_lot(feature, by_id[c].key), c))[: limits.sample]
    beside = [context for context in ordered if context in sample and context not in best]
    below_best = {c: len(fired) - sum(peaks[b] >= peaks[c] for b in best) for c in best}
    below = {c: sum(peaks[s] < peaks[c] for s in sample) for c in beside}
    return [
        _example(by_id[c], fired[c], BEST, below_best[c] / len(fired), limits) for c in best
    ] + [_example(by_id[c], fired[c], SAMPLE, below[c] / len(sample), limits) for c in beside]


def _lot(feature: int, key: int) -> int:
    return int(draw_lots(torch.tensor([feature]), torch.tensor([key]))[0])


def _example(
    context: PlainContext, firings: list[Firing], kind: int, quantile: float, limits: Limits
) -> PlainExample:
    peak, largest = _peak(firings)
    start, end = max(0, peak - limits.left), min(len(context.tokens), peak + limits.right + 1)
    return PlainExample(
        context=context.id,
        kind=kind,
        activation=float(largest),
        quantile=quantile,
        peak=peak,
        start=start,
        end=end,
        active=[
            (position, np.float16(value / largest))
            for position, value in firings
            if start <= position < end
        ],
    )
