"""T2: planted text; is one word that means another thing in each of two or three modules parted?"""

import time

from benchmarks.labels.planted import exact_share, judge, mean_agreement
from benchmarks.labels.result import Gate, TierResult


def run(*, size: float = 1.0, embedder: str | None = None) -> TierResult:
    """Judge features of one word in two or three modules: only what stands around it differs."""
    begun = time.perf_counter()
    word = judge(size, embedder=embedder).by_kind["word"]
    return TierResult(
        tier="T2",
        title=f"senses of {len(word)} features of one word each in text",
        gates=(Gate(name="agreement (ARI), offline", value=mean_agreement(word), bound=0.45),),
        seconds=time.perf_counter() - begun,
        notes=[f"right number of senses {exact_share(word):.2f}"],
    )
