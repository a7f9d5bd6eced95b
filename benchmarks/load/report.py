"""Tables of what a load has shown."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from benchmarks.load.tool import KINDS, WHOLE_PAGE, Answers, percentile
from benchmarks.load.watching import Memory

#: Cores that each part used.
Cores = dict[str, float]

#: Memory is flat where it certainly grows by less than so many MB a minute.
LEAK: Final = 0.3
#: In a run of fewer minutes caches may fill in its later half too, so that it tells nothing.
LEAST_MIN: Final = 15.0
#: What is used for a moment is left out by medians of so long.
_MEDIAN_MIN: Final = 0.5


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def ramp_head() -> None:
    """Begin the table of rates."""
    _write("\n| arrivals/s | requests | each second | p50 ms | p95 ms | p99 ms | errors |")
    _write("|---|---|---|---|---|---|---|")


def ramp_rows(answers: Answers, cores: Cores) -> None:
    """Write the rows of one rate, and who used the processor."""
    for row in _rows(answers, f"{answers.rate:.1f}"):
        _write(row)
    used = ", ".join(f"{part} {share:.2f}" for part, share in cores.items())
    _write(f"| | cores: {used} | | | | | |")


def _rows(answers: Answers, name: str) -> list[str]:
    requests, seconds = answers.requests, answers.seconds
    rows = [_row(name, "all", answers.ms(), len(requests) / seconds, answers.errors)]
    for kind in (*KINDS, WHOLE_PAGE):
        errors = sum(one.status != 200 for one in answers.sent if one.kind == kind)
        found = answers.ms(kind)
        rows.append(_row("", kind, found, len(found) / seconds, errors))
    return rows


def _row(name: str, what: str, ms: Sequence[float], per_second: float, errors: int) -> str:
    times = " | ".join(f"{percentile(ms, percent):.0f}" for percent in (50, 95, 99))
    return f"| {name} | {what} | {per_second:.1f} | {times} | {errors} |"


def found(rate: float) -> None:
    """Say which rate was the best."""
    _write(f"\nThe highest rate within the bound: {rate:.1f} arrivals a second (0: none).")


def soaked(answers: Answers, minutes: float, sizes: Sequence[int]) -> list[str]:
    """Write what became of the requests of a long run; return what did not hold."""
    _write(f"\n{minutes:g} minutes at {answers.rate:.1f} arrivals a second\n")
    ramp_head()
    for row in _rows(answers, f"{answers.rate:.1f}"):
        _write(row)
    first, last = (size / 1e6 for size in sizes)
    _write(f"\nThe database has grown from {first:,.1f} MB to {last:,.1f} MB.")
    return [f"{answers.errors} requests failed in the long run"] if answers.errors else []


def memory(seen: Memory, whole: Sequence[Mapping[str, float]]) -> list[str]:
    """Write how memory went; return the parts whose memory is not flat."""
    _write(
        "\n| part | PSS at first, MB | at last | judged at first | at last | MB a minute, later |"
    )
    _write("|---|---|---|---|---|---|")
    missed = []
    for part, used in seen.of.items():
        found = growth(seen.at, used)
        pss = " | ".join(f"{one[part] / 1e6:.0f}" for one in whole)
        told = f"{found.slope:+.2f} ± {found.doubt:.2f}" if found else "too short to tell"
        _write(f"| {part} | {pss} | {used[0] / 1e6:.0f} | {used[-1] / 1e6:.0f} | {told} |")
        if found and round(found.slope + found.doubt, 3) >= LEAK:
            missed.append(f"memory of {part} {found}")
    return missed


@dataclass(frozen=True)
class Growth:
    """MB a minute, and by how much that may be wrong."""

    slope: float
    doubt: float

    def __str__(self) -> str:
        """Say what is wrong with memory that is not flat."""
        if self.slope > self.doubt:
            return f"grows by {self.slope:.2f} MB a minute"
        return f"scatters too much to tell whether it grows (± {self.doubt:.2f} MB a minute)"


def growth(at: Sequence[float], used: Sequence[float]) -> Growth | None:
    """Return how memory grows in the later half of a run, when caches are filled; None: too short.

    `at` are seconds, `used` bytes. The median of the slopes between all pairs of moments, of which
    a cache that is made in one step moves few, and three standard errors of it by the median
    deviation. So many, since what is not seen here is a leak.
    """
    minutes, size = np.asarray(at) / 60, np.asarray(used) / 1e6
    if len(minutes) < 2 or minutes[-1] < LEAST_MIN:
        return None
    parts = (minutes // _MEDIAN_MIN).astype(int)
    late = [part for part in np.unique(parts) if part * _MEDIAN_MIN >= minutes[-1] / 2]
    x = np.asarray([np.median(minutes[parts == part]) for part in late])
    y = np.asarray([np.median(size[parts == part]) for part in late])
    one, other = np.triu_indices(len(x), 1)
    slope = np.median((y[other] - y[one]) / (x[other] - x[one]))
    left = y - slope * x
    scatter = 1.4826 * np.median(np.abs(left - np.median(left)))
    return Growth(float(slope), float(3 * scatter * np.sqrt(12 / len(x)) / (x[-1] - x[0])))
