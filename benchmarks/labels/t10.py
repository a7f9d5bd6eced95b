"""T10: sense resolution on real features: those of the demo SAE on the demo corpus.

Its bounds are targets and fail nothing: most features of so small a model fire in texts of many
kinds (`benchmarks.labels.demo_senses`), so that a single feature is rarely one sense.
"""

import time
from collections.abc import Sequence
from typing import Final

from benchmarks.labels.real_features import demo_features
from benchmarks.labels.result import Gate, TierResult

from scopebook.sense_resolution import MAX_SPLIT_RATE, MIN_CONFLATED_ARI, SenseResolution
from scopebook_workers.labeling.calibration import DEFAULT_THRESHOLD, calibrate
from scopebook_workers.labeling.encoding import CentredVectors, WindowEncoder
from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.reading import Reader
from scopebook_workers.labeling.scoring.resolution import sense_resolution
from scopebook_workers.labeling.window_vectors import (
    TermVectors,
    Vectors,
    WindowEmbedder,
    embed_each,
)

TOKENS: Final = 160_000


def embed(
    features: Sequence[FeatureEvidence], encoder: WindowEncoder | None = None
) -> list[Vectors]:
    """Return each feature's windows as vectors: by their terms, or by an encoder."""
    reader = Reader()
    read = [[reader.window(firing) for firing in feature.firings] for feature in features]
    every = [window for windows in read for window in windows]
    vectors: WindowEmbedder = TermVectors(every, reader.vocabulary)
    if encoder is not None:
        vectors = CentredVectors(encoder, every)
    return embed_each(vectors, read)


def resolve(features: Sequence[Vectors]) -> tuple[SenseResolution, float]:
    """Choose the threshold by every second feature, and try it on the others; return both."""
    threshold = calibrate(features[::2]) or DEFAULT_THRESHOLD
    return sense_resolution(features[1::2], threshold), threshold


def run(*, size: float = 1.0) -> TierResult:
    """Measure on 160,000 tokens of the demo corpus, or fewer by `size`."""
    begun = time.perf_counter()
    features = demo_features(tokens=round(size * TOKENS))
    found, threshold = resolve(embed(features))
    return TierResult(
        tier="T10",
        title="sense resolution on real features",
        gates=[
            Gate(
                name="single features split",
                value=found.split_rate,
                bound=MAX_SPLIT_RATE,
                at_least=False,
                must=False,
            ),
            Gate(
                name="ARI of two features mixed",
                value=found.conflated_ari,
                bound=MIN_CONFLATED_ARI,
                must=False,
            ),
        ],
        seconds=time.perf_counter() - begun,
        notes=[
            f"{len(features)} features, threshold {threshold:.2f}; of {found.n_pairs} mixtures "
            f"{found.parted_rate:.0%} came apart; {found.n_single} single features tried"
        ],
    )
