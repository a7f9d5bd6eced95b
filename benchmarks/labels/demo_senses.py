"""Hold the senses of real features against the sources of their documents.

usage: python -m benchmarks.labels.demo_senses [--embedder NAME]

The demo corpus says of each document which of 16 sources it is from; the labeler's vectors are not
told. A feature whose examples are nearly all of one source should stay whole. One whose examples
are of many may be split along them: how far the senses agree with the sources (adjusted Rand
index) is set against the same senses with the sources shuffled.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
from benchmarks.labels.encoders import encoder_of
from benchmarks.labels.real_features import demo_features, demo_residuals
from benchmarks.labels.t10 import TOKENS, embed

from scopebook.window_embedders import RESIDUAL
from scopebook_workers.labeling.calibration import calibrate
from scopebook_workers.labeling.clusters import agreement, cut, joining_distances
from scopebook_workers.labeling.encoding import WindowEncoder

#: Share of the commonest source by which a feature is of one, or of many.
PURE: Final = 0.9
MIXED: Final = 0.6
FIXED: Final = (0.7, 0.9)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for the calibrated threshold, chosen by every second feature, and for others."""
    parser = argparse.ArgumentParser(prog="benchmarks.labels.demo_senses", description=__doc__)
    parser.add_argument("--embedder", help="residual, a sentence-transformers model, or MODEL@URL")
    embedder = parser.parse_args(arguments).embedder
    features = demo_features(tokens=TOKENS)
    vectors = embed(features, _encoder(embedder) if embedder else None)
    calibrated = calibrate(vectors[::2])
    if calibrated is None:
        raise RuntimeError(f"{len(vectors)} features of the demo are too few to calibrate on.")
    sources = [
        np.unique([str(f.passage.tag) for f in feature.firings], return_inverse=True)[1]
        for feature in features[1::2]
    ]
    joined = [joining_distances(own) for own in vectors[1::2]]
    commonest = np.asarray([np.bincount(own).max() / len(own) for own in sources])
    pure, mixed = commonest >= PURE, commonest < MIXED
    sys.stdout.write(
        f"{len(joined)} features, {pure.sum()} of one source, {mixed.sum()} of many\n\n"
        "| threshold | of one source, split | of many, split | ARI with sources | shuffled |\n"
        "|---|---|---|---|---|\n"
    )
    rng = np.random.default_rng(0)
    for threshold in (calibrated, *FIXED):
        placed = [cut(own, threshold) for own in joined]
        split = np.asarray([found.max() > 0 for found in placed])
        pairs = [pair for *pair, many in zip(placed, sources, mixed, strict=True) if many]
        agreed = np.mean([agreement(found, truth) for found, truth in pairs])
        chance = np.mean([agreement(found, rng.permutation(truth)) for found, truth in pairs])
        sys.stdout.write(
            f"| {threshold:.2f} | {split[pure].mean():.2f} | {split[mixed].mean():.2f} "
            f"| {agreed:.2f} | {chance:.2f} |\n"
        )


def _encoder(name: str) -> WindowEncoder:
    return demo_residuals(tokens=TOKENS) if name == RESIDUAL else encoder_of(name)


if __name__ == "__main__":
    main()
