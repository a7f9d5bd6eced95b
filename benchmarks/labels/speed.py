"""Time the labelling work of one core per feature: sample, cluster, keywords, representatives.

usage: python -m benchmarks.labels.speed [--features N]

Measured on N planted features of 60 examples each, whose windows have the 192 tokens of real ones,
and multiplied by the 32,768 features of a release. As in a release, each passage is an example of
many features, and is read once: a feature is charged for a twentieth of its passages (32,768
features of 77 examples over 120,000 contexts are 21 examples a context).
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy reads them: the bound is for one core

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.labels.planted_text import KINDS, plant
from benchmarks.labels.result import Gate

from scopebook_workers.labeling.evidence import FeatureEvidence
from scopebook_workers.labeling.keyword_labels import SAMPLE_FEATURES, KeywordLabeler
from scopebook_workers.labeling.material import Material

RELEASE_FEATURES: Final = 32_768
#: Two planted features' examples together are one of the size that a collection keeps.
JOINED: Final = 2
MS: Final = 10.0
_EXAMPLES_OF_A_PASSAGE: Final = 20


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Milliseconds of one core a feature, and what they were measured on."""

    first: float  # with each passage read for this feature alone
    again: float  # with all passages read before
    learning: float  # once for a release, in seconds
    features: int
    eligible: int
    windows: float

    @property
    def per_feature(self) -> float:
        """Return what a feature costs in a release, its share of reading and learning included."""
        reading = (self.first - self.again) / _EXAMPLES_OF_A_PASSAGE
        return self.again + reading + 1000 * self.learning / RELEASE_FEATURES


def measure(features: int) -> Timing:
    """Learn from some features, then study others twice: with their passages new, then known."""
    sample = _evidence(min(SAMPLE_FEATURES, features), seed=11)
    judged = _evidence(features, seed=12)
    started = time.process_time()
    labeler = KeywordLabeler(sample)
    learning = time.process_time() - started
    passes = []
    for _ in range(2):
        started = time.process_time()
        materials = [labeler.study(evidence).material for evidence in judged]
        passes.append(1000 * (time.process_time() - started) / len(judged))
    eligible = [material for material in materials if isinstance(material, Material)]
    windows = sum(len(m.held_out) + sum(len(c.members) for c in m.clusters) for m in eligible)
    return Timing(
        first=passes[0],
        again=passes[1],
        learning=learning * SAMPLE_FEATURES / len(sample),
        features=len(judged),
        eligible=len(eligible),
        windows=windows / max(1, len(eligible)),
    )


def _evidence(n: int, *, seed: int) -> list[FeatureEvidence]:
    """Return features of many documents; those of the demo have too few to be all eligible."""
    per_kind = -(-n * JOINED // len(KINDS))
    planted = [f.evidence for kind in KINDS for f in plant(kind, per_kind, seed=seed)]
    return [
        FeatureEvidence(
            firings=sorted(
                (firing for part in planted[i::n][:JOINED] for firing in part.firings),
                key=lambda firing: -float(firing.activations.max()),
            )
        )
        for i in range(n)
    ]


def main() -> int:
    """Print the figures and whether the bound holds; the exit status is 1 when it does not."""
    parser = argparse.ArgumentParser(prog="benchmarks.labels.speed", description=__doc__)
    parser.add_argument("--features", type=int, default=SAMPLE_FEATURES)
    timing = measure(parser.parse_args().features)
    gate = Gate(name="ms a feature", value=timing.per_feature, bound=MS, at_least=False)
    whole = timing.per_feature * RELEASE_FEATURES / 1000
    sys.stdout.write(
        f"| labelling, one core | figure |\n|---|---|\n"
        f"| a feature, its passages read | {timing.again:.1f} ms |\n"
        f"| a feature, each passage read for it alone | {timing.first:.1f} ms |\n"
        f"| learning from {SAMPLE_FEATURES} features, once | {timing.learning:.1f} s |\n"
        f"| a feature of a release (bound {MS:g} ms) | {timing.per_feature:.1f} ms |\n"
        f"| {RELEASE_FEATURES:,} features | {whole:.0f} s |\n\n"
        f"{timing.features} features, {timing.eligible} of them eligible, with "
        f"{timing.windows:.0f} windows each; {'holds' if gate.holds else 'does NOT hold'}\n"
    )
    return 0 if gate.holds else 1


if __name__ == "__main__":
    sys.exit(main())
