"""T1: planted text; are one-sense features kept whole and unions of (word, module) parted?"""

import time

from benchmarks.labels.planted import exact_share, judge, mean_agreement, whole_share
from benchmarks.labels.result import Gate, TierResult


def run(*, size: float = 1.0, embedder: str | None = None) -> TierResult:
    """Judge one-sense features and unions of two or three that share neither word nor module."""
    begun = time.perf_counter()
    judged = judge(size, embedder=embedder)
    one, union = judged.by_kind["one"], judged.by_kind["union"]
    return TierResult(
        tier="T1",
        title=f"senses of {len(one)} one-sense features and {len(union)} unions in text",
        gates=(
            Gate(name="one sense kept whole", value=whole_share(one), bound=0.93),
            Gate(name="agreement on unions (ARI)", value=mean_agreement(union), bound=0.88),
            Gate(name="right number of senses in unions", value=exact_share(union), bound=0.85),
        ),
        seconds=time.perf_counter() - begun,
        notes=[f"calibrated distance {judged.threshold:.2f}"],
    )
