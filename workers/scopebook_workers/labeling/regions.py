"""Regions of a map: where points lie densely, parted where they lie thinly.

Peaks of the points' density on a grid are parted along its valleys. Of all peaks those are kept
that stand out most above the valley to a higher one (their persistence); the others belong to it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Places = NDArray[np.float32]

#: Cells along a side.
_GRID: Final = 256
#: Width of the smoothing by Scott's rule for two dimensions, in cells for one point alone; the
#: factor below 1 is for maps, which are many heaps and not one.
_WIDTH: Final = 0.12 * _GRID / 4
#: So many regions of a small map and of a large one, and how many points make these.
_FEW: Final = 15
_MANY: Final = 60
_SMALL: Final = 1_000
_LARGE: Final = 500_000
#: A peak stands out by more than chance: so many standard deviations of a smoothed count's root,
#: which is 1 / (4 sqrt(pi) sigma) whatever the count.
_CHANCE: Final = 4.0
#: A region holds so many points at least, and this share of all.
_LEAST: Final = 5
_LEAST_SHARE: Final = 0.002


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions by size, the largest first."""

    of_point: NDArray[np.int64]
    #: Where each one's name is to stand: the place (2,) of its densest cell.
    centres: Places
    sizes: NDArray[np.int64]


def part(places: Places) -> Regions:
    """Return the regions of places (n, 2) in [-1, 1]; every point is in one."""
    if not len(places):
        empty = np.empty(0, np.int64)
        return Regions(empty, np.empty((0, 2), np.float32), empty)
    cells = np.clip(((places + 1) / 2 * _GRID).astype(np.int64), 0, _GRID - 1)
    flat = cells[:, 0] * _GRID + cells[:, 1]
    counts = np.bincount(flat, minlength=_GRID * _GRID).astype(np.float64)
    sigma = max(1.0, _WIDTH * len(places) ** (-1 / 6))
    # By the root, a peak of few points stands out as much as chance lets it, not less.
    heights = np.sqrt(gaussian_filter(counts.reshape(_GRID, _GRID), sigma, mode="constant")).ravel()
    peak_of, above, standing = _climb(heights)
    sizes = np.bincount(peak_of[flat], minlength=len(heights)).astype(np.int64)
    least = _CHANCE / (4 * np.sqrt(np.pi) * sigma)
    ranked = sorted(standing, key=lambda peak: (-standing[peak], peak))
    high = [peak for peak in ranked if standing[peak] >= least][: _wanted(len(places))]
    kept = _keep(above, standing, sizes, high)
    of_cell = _root(above, kept)[peak_of]
    return _by_size(of_cell[flat])


def _wanted(points: int) -> int:
    """Return how many regions a map of so many points is to have at most."""
    share = np.log(max(points, _SMALL) / _SMALL) / np.log(_LARGE / _SMALL)
    return min(round(_FEW + (_MANY - _FEW) * float(share)), _MANY, max(1, points // _LEAST))


def _climb(
    heights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], dict[int, int], dict[int, float]]:
    """Return each cell's peak, and of each peak the one it sinks into and how far it stands out.

    Cells are taken from the highest down; a cell that touches two peaks is the valley between
    them, and the lower one sinks into the higher one there. Peaks that touch none sink into the
    highest of all at the end, having stood out by their whole height.
    """
    peak_of = np.full(len(heights), -1, dtype=np.int64)
    above: dict[int, int] = {}
    standing: dict[int, float] = {}
    sunk: dict[int, int] = {}

    def top(peak: int) -> int:
        while peak in sunk:
            peak = sunk[peak]
        return peak

    for cell in np.argsort(-heights, kind="stable").tolist():
        if heights[cell] <= 0:
            break
        around = [n for n in _around(cell) if peak_of[n] >= 0]
        if not around:
            peak_of[cell] = cell
            continue
        peak_of[cell] = peak_of[max(around, key=lambda n: (heights[n], -n))]
        tops = {top(int(peak_of[n])) for n in around}
        highest = max(tops, key=lambda peak: (heights[peak], -peak))
        for peak in tops - {highest}:
            sunk[peak] = above[peak] = highest
            standing[peak] = float(heights[peak] - heights[cell])
    _end(heights, peak_of, above, standing)
    return peak_of, above, standing


def _end(
    heights: NDArray[np.float64],
    peak_of: NDArray[np.int64],
    above: dict[int, int],
    standing: dict[int, float],
) -> None:
    """Let the peaks that are left sink into the highest one."""
    left = [peak for peak in np.unique(peak_of[peak_of >= 0]).tolist() if peak not in above]
    highest = max(left, key=lambda peak: (heights[peak], -peak))
    for peak in left:
        standing[peak] = float(heights[peak])
        if peak != highest:
            above[peak] = highest


def _around(cell: int) -> list[int]:
    row, column = divmod(cell, _GRID)
    return [
        r * _GRID + c
        for r in range(max(0, row - 1), min(_GRID, row + 2))
        for c in range(max(0, column - 1), min(_GRID, column + 2))
        if (r, c) != (row, column)
    ]


def _keep(
    above: dict[int, int], standing: dict[int, float], sizes: NDArray[np.int64], high: list[int]
) -> set[int]:
    """Return the peaks that become regions: of the `high` ones those that are large enough."""
    # The highest of all takes up whatever is too small.
    kept = set(high) | {peak for peak in standing if peak not in above}
    least = max(_LEAST, _LEAST_SHARE * int(sizes.sum()))
    while True:
        totals: dict[int, int] = dict.fromkeys(kept, 0)
        roots = _root(above, kept)
        for peak in standing:
            totals[int(roots[peak])] += int(sizes[peak])
        small = [peak for peak in kept if totals[peak] < least and peak in above]
        if not small:
            return kept
        kept.remove(min(small, key=lambda peak: (standing[peak], peak)))


def _root(above: dict[int, int], kept: set[int]) -> NDArray[np.int64]:
    """Return for each cell that is a peak the kept peak it belongs to."""
    roots = np.full(_GRID * _GRID, -1, dtype=np.int64)
    for start in {*above, *kept}:
        peak = start
        while peak not in kept:
            peak = above[peak]
        roots[start] = peak
    return roots


def _by_size(region_cells: NDArray[np.int64]) -> Regions:
    """Number the regions by size; ties by their cells."""
    cells, inverse, sizes = np.unique(region_cells, return_inverse=True, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    at = np.stack([cells // _GRID, cells % _GRID], axis=1)[order]
    centres = ((at + 0.5) / _GRID * 2 - 1).astype(np.float32)
    return Regions(place[inverse].astype(np.int64), centres, sizes[order].astype(np.int64))
