"""Embedding: how well does the label's vector rank windows that fire above those that do not?

It asks no language model, so every label can have it, a keyword label too. It agrees with people
far less than a judge does: it finds labels that are clearly wrong, and ranks no good ones.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scopebook_workers.labeling.scoring.cases import Case, held_out_sha256
from scopebook_workers.labeling.scoring.metrics import Confusion, auprc, auroc, wilson
from scopebook_workers.labeling.scoring.score import Score, require_both_kinds

SCORER: Final = "embedding"
VERSION: Final = "embedding-2"


def score_embedding(
    key: str,
    label_vector: NDArray[np.float32],
    window_vectors: NDArray[np.float32],
    cases: Sequence[Case],
    *,
    embedder: str,
) -> Score:
    """Return the average precision of cos(label, window), whose null is the share of positives.

    `label_vector` (dimension,) and `window_vectors` (case, dimension) are of one embedder, which
    is recorded as the model. The counts and F1 are those at the threshold where as many windows
    are taken as there are positives: precision, recall and F1 are one number there. In `details`:
    `auroc`, and `prevalence`, the share of positives, without which no average precision can be
    compared with another.
    """
    require_both_kinds(key, cases)
    truth = np.asarray([case.fires for case in cases])
    cosines = _cosines(label_vector, window_vectors)
    said = np.zeros(len(truth), dtype=bool)
    said[np.lexsort((truth, -cosines))[: int(truth.sum())]] = True  # of ties the negatives first
    confusion = Confusion.of(truth.tolist(), said.tolist())
    value = auprc(truth, cosines)
    low, high = wilson(value * confusion.positives, confusion.positives)
    f1_low, f1_high = confusion.f1_interval()
    return Score(
        scorer=SCORER,
        scorer_version=VERSION,
        n_pos=confusion.positives,
        n_neg_random=sum(not case.fires and not case.hard for case in cases),
        n_neg_hard=sum(not case.fires and case.hard for case in cases),
        n_failed=0,
        tp=confusion.tp,
        fp=confusion.fp,
        tn=confusion.tn,
        fn=confusion.fn,
        value=value,
        ci_low=low,
        ci_high=high,
        f1=confusion.f1,
        f1_low=f1_low,
        f1_high=f1_high,
        held_out_sha256=held_out_sha256(cases),
        null_value=float(truth.mean()),
        model_requested=embedder,
        details={"auroc": auroc(truth, cosines), "prevalence": float(truth.mean())},
    )


def _cosines(label: NDArray[np.float32], windows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(windows, axis=1) * np.linalg.norm(label)
    cosines: NDArray[np.float32] = windows @ label / np.maximum(lengths, 1e-12)
    return cosines
