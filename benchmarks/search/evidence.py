"""Examples of features: a pool of packed ones, since what a page reads is alike for all."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from scopebook.db.sessions import sessions
from scopebook.db.tables import Context
from scopebook.packing import BEST, SAMPLE, ExampleSet, pack_examples

#: Best ones and samples of a feature.
_EXAMPLES: Final = (20, 57)
_POOL: Final = 1_000
_WINDOW: Final = 48


def example_pool(dice: np.random.Generator) -> list[bytes]:
    """Return packed examples of some features; the others share them."""
    with sessions()() as session:
        rows = session.execute(
            select(Context.id, Context.n_tokens).where(Context.n_tokens >= _WINDOW)
        ).all()
    ids = np.asarray([row.id for row in rows], dtype=np.int64)
    return [pack_examples(_examples(dice, ids)) for _ in range(_POOL)]


def _examples(dice: np.random.Generator, ids: NDArray[np.int64]) -> ExampleSet:
    best, sample = _EXAMPLES
    n = best + sample
    peaks = dice.integers(8, _WINDOW - 8, n).astype(np.int32)
    active = dice.integers(1, 5, n)
    offsets = np.concatenate([[0], np.cumsum(active)]).astype(np.int32)
    positions = np.concatenate(
        [np.arange(peak, peak + count) for peak, count in zip(peaks, active, strict=True)]
    )
    shares = dice.random(len(positions)).astype(np.float16)
    shares[offsets[:-1]] = 1.0
    return ExampleSet(
        context_id=dice.choice(ids, n, replace=False),
        kind=np.repeat([BEST, SAMPLE], [best, sample]).astype(np.uint8),
        activation=-np.sort(-dice.lognormal(1, 0.7, n)).astype(np.float32),
        quantile=dice.random(n).astype(np.float32),
        peak=peaks,
        start=np.zeros(n, dtype=np.int32),
        end=np.full(n, _WINDOW, dtype=np.int32),
        offsets=offsets,
        positions=positions.astype(np.int32),
        shares=shares,
    )
