"""How well single features stand for a concept: precision, recall, strong precision, AUROC."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

STRONG_SHARE = 0.4
WINDOW = 64


@dataclass(frozen=True)
class Firing:
    """Which features fired on which tokens of a tagged text.

    Attributes:
        values: activations, shape (token, k), zeros where fewer than k features fired.
        indices: features, shape (token, k).
        concepts: index of the token's concept, shape (token,).
        windows: index of the token's window, shape (token,).
        width: number of features.
        names: name of each concept.
    """

    values: Float[Tensor, "token k"]
    indices: Int[Tensor, "token k"]
    concepts: Int[Tensor, " token"]
    windows: Int[Tensor, " token"]
    width: int
    names: tuple[str, ...]


def window_of_rows(rows: int, rows_per_context: int, size: int = WINDOW) -> Int[Tensor, " token"]:
    """Window index of each row; contexts are cut into windows of `size`, a short rest joins."""
    per_context = max(1, rows_per_context // size)
    row = torch.arange(rows)
    inside = (row % rows_per_context // size).clamp(max=per_context - 1)
    return row // rows_per_context * per_context + inside


def counts(firing: Firing, fires: Bool[Tensor, "token k"]) -> Float[Tensor, "concept d_sae"]:
    """How many tokens of each concept satisfy `fires`, per feature."""
    table = torch.zeros(len(firing.names), firing.width)
    concept = firing.concepts[:, None].expand_as(firing.indices)
    table.index_put_((concept[fires], firing.indices[fires]), torch.ones(()), accumulate=True)
    return table


def rates(firing: Firing, fires: Bool[Tensor, "token k"]) -> Float[Tensor, "concept d_sae"]:
    """Share of each concept's tokens that satisfy `fires`: the recall of a feature."""
    size = torch.bincount(firing.concepts, minlength=len(firing.names)).clamp(min=1)
    return counts(firing, fires) / size[:, None]


def balanced_precision(recall: Float[Tensor, "concept d_sae"]) -> Float[Tensor, "concept d_sae"]:
    """Precision if all concepts were equally frequent: recall_c / sum over concepts of recall."""
    return recall / recall.sum(0).clamp(min=1e-9)


def strong(firing: Firing) -> Bool[Tensor, "token k"]:
    """Activations above STRONG_SHARE of the feature's maximum: what its top examples show."""
    peak = torch.zeros(firing.width)
    peak.scatter_reduce_(0, firing.indices.flatten(), firing.values.flatten(), "amax")
    return (firing.values > STRONG_SHARE * peak[firing.indices]) & (firing.values > 0)


def window_auroc(firing: Firing) -> npt.NDArray[np.float64]:
    """AUROC of "this window is of concept c" by the feature's summed activation.

    (mean rank of the concept's windows - (p + 1) / 2) / n with p positive and n negative
    windows, ties at their mean rank. A window's concept is that of most of its tokens.
    Shape (concept, d_sae); nan where a concept has no window or all of them.
    """
    windows = int(firing.windows.max()) + 1
    sums = torch.zeros(windows, firing.width)
    place = firing.windows[:, None].expand_as(firing.indices)
    sums.index_put_((place, firing.indices), firing.values, accumulate=True)
    votes = torch.zeros(windows, len(firing.names))
    votes.index_put_((firing.windows, firing.concepts), torch.ones(()), accumulate=True)
    concept = votes.argmax(1).numpy()
    ranks = rankdata(sums.numpy(), axis=0)
    table = np.full((len(firing.names), firing.width), np.nan)
    for c in range(len(firing.names)):
        positive = concept == c
        p, n = int(positive.sum()), int((~positive).sum())
        if p and n:
            table[c] = (ranks[positive].mean(0) - (p + 1) / 2) / n
    return table


@dataclass(frozen=True)
class Scores:
    """All tables of one SAE on one text, each of shape (concept, d_sae)."""

    names: tuple[str, ...]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    strong_precision: npt.NDArray[np.float64]
    strong_count: npt.NDArray[np.float64]
    auroc: npt.NDArray[np.float64]

    def of(self, concept: str, feature: int) -> dict[str, float]:
        """One feature's figures for one concept, rounded for a report."""
        c = self.names.index(concept)
        return {
            "precision": round(float(self.precision[c, feature]), 4),
            "recall": round(float(self.recall[c, feature]), 4),
            "strong_precision": round(float(self.strong_precision[c, feature]), 4),
            "window_auroc": round(float(self.auroc[c, feature]), 4),
        }


def score(firing: Firing) -> Scores:
    """Every feature against every concept."""
    recall = rates(firing, firing.values > 0)
    strong_fires = strong(firing)
    return Scores(
        names=firing.names,
        precision=balanced_precision(recall).double().numpy(),
        recall=recall.double().numpy(),
        strong_precision=balanced_precision(rates(firing, strong_fires)).double().numpy(),
        strong_count=counts(firing, strong_fires).double().numpy(),
        auroc=window_auroc(firing),
    )


def naming_features(scores: Scores, concept: str, count: int) -> list[int]:
    """Features that best show a concept, best first.

    merit = min(2 AUROC - 1, strong precision): both run from 0 to 1 and both must be high.
    """
    c = scores.names.index(concept)
    merit = np.minimum(2 * np.nan_to_num(scores.auroc[c]) - 1, scores.strong_precision[c])
    merit = np.where(scores.strong_count.sum(0) >= 20, merit, -1)
    return [int(f) for f in np.argsort(-merit, kind="stable")[:count]]


def steering_features(scores: Scores, concept: str, count: int) -> list[int]:
    """Features that best cover a concept: F1 of balanced precision and recall, best first."""
    c = scores.names.index(concept)
    precision, recall = scores.precision[c], scores.recall[c]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return [int(f) for f in np.argsort(-f1, kind="stable")[:count]]


def group(scores: Scores, concept: str, least_precision: float = 0.4) -> list[int]:
    """All features that fire mostly on a concept, best recall first: what muting must cover."""
    c = scores.names.index(concept)
    mostly = (scores.precision[c] > least_precision) & (scores.recall[c] > 1e-4)
    order = np.argsort(-scores.recall[c], kind="stable")
    return [int(f) for f in order if mostly[f]]


def aligned_features(
    x: Float[Tensor, "token d_model"], concepts: Int[Tensor, " token"], concept: int,
    directions: Float[Tensor, "d_model d_sae"], count: int,
) -> list[int]:  # fmt: skip
    """Features whose direction points most from all tokens to the concept's, best first.

    cos(W_dec[:, f], mean of x over the concept - mean of x).
    """
    toward = x[concepts == concept].float().mean(0) - x.float().mean(0)
    cosine = (toward @ directions) / (directions.norm(dim=0) * toward.norm() + 1e-9)
    return [int(f) for f in cosine.argsort(descending=True, stable=True)[:count]]


def pure_features(scores: Scores, least: float = 0.8) -> dict[int, tuple[str, float]]:
    """Feature -> (concept, strong precision), for features whose top examples are one concept."""
    best = scores.strong_precision.argmax(0)
    often = scores.strong_count.sum(0) >= 20
    return {
        f: (scores.names[best[f]], round(float(scores.strong_precision[best[f], f]), 4))
        for f in range(len(best))
        if often[f] and scores.strong_precision[best[f], f] > least
    }


def explained_variance(
    x: Float[Tensor, "token d_model"], x_hat: Float[Tensor, "token d_model"]
) -> float:
    """1 - sum |x - x_hat|^2 / sum |x - mean x|^2."""
    left = (x - x_hat).pow(2).sum()
    return float(1 - left / (x - x.mean(0)).pow(2).sum())
