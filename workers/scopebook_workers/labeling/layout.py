"""Places of labels on a plane: what means alike lies near, by UMAP on the labels' vectors.

UMAP is fitted to a sample; every other vector is placed among its nearest ones of the sample.
The same vectors give the same places on one machine; on another one, whose arithmetic rounds
differently, the map may look different and be as good.
"""

import warnings
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import torch
import umap
from numba import config
from numpy.typing import NDArray

# Its OpenMP layer would set the threads of torch as well, in the same process: a collection after
# a map would then differ in its last digits from one before it.
config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]  # made at import

Vectors = NDArray[np.float32]
#: Halves are kept as such until they are looked at: of 786,432 labels they take 600 MB.
Stored = NDArray[np.float32] | NDArray[np.float16]
Places = NDArray[np.float32]

SEED: Final = 20_260
#: Vectors that UMAP itself places: it takes a minute for so many on one core, and its time grows
#: faster than their number (docs/labeling/map.md).
SAMPLE: Final = 20_000
NEIGHBOURS: Final = 15
MIN_DISTANCE: Final = 0.1
#: Fewer vectors than this have no neighbourhoods: their two main directions are drawn.
_FEWEST: Final = 16
#: Vectors whose nearest ones are looked for at once: 1,000 x 20,000 cosines take 80 MB.
_BLOCK: Final = 1_000
#: Of the nearest vectors of the sample so many say where a vector is placed.
_ANCHORS: Final = 5
#: An anchor farther from the nearest one than this share of the map's width is in another part.
_SAME_PART: Final = 0.05
#: The outermost of the points, in this share, do not decide the map's scale.
_OUTLIERS: Final = 0.002
#: Angle between two points that share a place, as seeds stand in a sunflower.
_GOLDEN: Final = np.pi * (3 - np.sqrt(5))

#: Told (vectors placed, vectors in all).
Told = Callable[[int, int], None]


def place(
    vectors: Stored, *, seed: int = SEED, sample: int = SAMPLE, told: Told | None = None
) -> Places:
    """Return the places (n, 2) of unit vectors (n, d), in [-1, 1].

    Equal vectors come out side by side and not on top of each other.
    """
    tell = told or (lambda _, __: None)
    first, of_vector = _distinct(vectors)
    tell(0, len(vectors))
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(first), min(sample, len(first)), replace=False))
    fitted = np.asarray(vectors[first[chosen]], dtype=np.float32)
    at = _fit(fitted, seed)
    tell(len(chosen), len(vectors))
    places = np.empty((len(first), 2), dtype=np.float32)
    places[chosen] = at
    others = np.setdiff1d(np.arange(len(first)), chosen)
    for start in range(0, len(others), _BLOCK):
        rows = others[start : start + _BLOCK]
        places[rows] = _among(np.asarray(vectors[first[rows]], dtype=np.float32), fitted, at)
        tell(len(chosen) + start + len(rows), len(vectors))
    return _spread(_scaled(places), of_vector)


def _distinct(vectors: Stored) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row of each distinct vector, in order, and for each vector which one it is."""
    numbers: dict[bytes, int] = {}
    first: list[int] = []
    of_vector = np.empty(len(vectors), dtype=np.int64)
    for row, vector in enumerate(np.ascontiguousarray(vectors)):
        # By a hash, since a copy of all the rows to sort them would take as much memory again.
        key = blake2b(vector, digest_size=16).digest()
        if key not in numbers:
            numbers[key] = len(first)
            first.append(row)
        of_vector[row] = numbers[key]
    return np.asarray(first, dtype=np.int64), of_vector


def _fit(vectors: Vectors, seed: int) -> Places:
    """Return places of distinct unit vectors by UMAP, by their main directions if they are few."""
    if len(vectors) < _FEWEST:
        return _main_directions(vectors)
    k = min(NEIGHBOURS, len(vectors) - 1)
    model: Any = umap.UMAP(
        n_neighbors=k,
        min_dist=MIN_DISTANCE,
        metric="cosine",
        init=_main_directions(vectors) * 10,
        random_state=seed,
        n_jobs=1,
        precomputed_knn=(*_nearest(vectors, vectors, k), None),
        n_epochs=500 if len(vectors) <= 10_000 else 200,
    )
    with warnings.catch_warnings():
        # Without a search index UMAP cannot place vectors later, which `_among` does.
        warnings.simplefilter("ignore", UserWarning)
        placed: Places = model.fit_transform(vectors).astype(np.float32)
    return placed


def _main_directions(vectors: Vectors) -> Places:
    """Return the vectors' two principal components, scaled to [-1, 1]."""
    places = np.zeros((len(vectors), 2), dtype=np.float32)
    if len(vectors) < 2:
        return places
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    found = centred @ directions[:, ::-1][:, :2]
    # An eigenvector's sign is chance: the largest entry is to be positive.
    found *= np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    places[:, : found.shape[1]] = found / max(float(np.abs(found).max()), 1e-12)
    return places


def _nearest(
    vectors: Vectors, among: Vectors, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return for each vector its `k` nearest ones by cosine, nearest first, and the distances."""
    nearest = np.empty((len(vectors), k), dtype=np.int32)
    distances = np.empty((len(vectors), k), dtype=np.float32)
    columns = torch.from_numpy(among).T
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        # torch.topk: numpy has to part all the sample for the sake of a few.
        near, found = (torch.from_numpy(vectors[block]) @ columns).topk(k, dim=1)
        nearest[block] = found.numpy()
        distances[block] = (1 - near).clamp_(min=0).numpy()
    return nearest, distances


def _among(vectors: Vectors, fitted: Vectors, at: Places) -> Places:
    """Place each vector at the mean of its nearest ones of the sample that lie in one part.

    A mean over anchors in different parts would lie in the empty space between them.
    """
    nearest, distances = _nearest(vectors, fitted, min(_ANCHORS, len(fitted)))
    anchors = at[nearest]  # (n, k, 2)
    apart = np.linalg.norm(anchors - anchors[:, :1], axis=2)
    weight = (apart <= _SAME_PART * float(np.ptp(at, axis=0).max())) / (distances + 1e-3)
    weight /= weight.sum(axis=1, keepdims=True)
    placed: Places = np.einsum("nk,nkd->nd", weight, anchors).astype(np.float32)
    return placed


def _scaled(places: Places) -> Places:
    """Return the places in [-1, 1], their shape kept; outliers are drawn to the border."""
    if not len(places):
        return places
    low, high = np.quantile(places, (_OUTLIERS / 2, 1 - _OUTLIERS / 2), axis=0)
    half = max(float((high - low).max()) / 2, 1e-12)
    scaled: Places = np.clip((places - (low + high) / 2) / half, -1, 1).astype(np.float32)
    return scaled


def _spread(places: Places, of_point: NDArray[np.int64]) -> Places:
    """Return a place for each point, those that share one in a small sunflower around it."""
    counts = np.bincount(of_point, minlength=len(places))
    order = np.argsort(of_point, kind="stable")
    turn = np.empty(len(of_point), dtype=np.float64)
    turn[order] = np.arange(len(of_point)) - np.repeat(np.cumsum(counts) - counts, counts)
    radius = 0.15 / np.sqrt(max(len(of_point), 1)) * np.sqrt(turn)
    around = radius[:, None] * np.stack([np.cos(turn * _GOLDEN), np.sin(turn * _GOLDEN)], axis=1)
    spread: Places = np.clip(places[of_point] + around, -1, 1).astype(np.float32)
    return spread
