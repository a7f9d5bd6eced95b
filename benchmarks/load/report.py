"""Tables of what a load has shown."""

import sys
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from benchmarks.load.tool import KINDS, WHOLE_PAGE, Answers, percentile
from benchmarks.load.watching import Memory

#: Cores that each part used.
Cores = dict[str, float]

#: Memory is flat where it grows by less than so much of itself in ten minutes.
FLAT: Final = 0.01
_TEN_MINUTES_S: Final = 600.0


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
    """Write how memory went; return the parts whose memory grows."""
    _write("\n| part | PSS at first, MB | at last | judged at first | at last | growth in 10 min |")
    _write("|---|---|---|---|---|---|")
    missed = []
    for part, used in seen.of.items():
        share, doubt = growth(seen.at, used)
        pss = " | ".join(f"{one[part] / 1e6:.0f}" for one in whole)
        _write(
            f"| {part} | {pss} | {used[0] / 1e6:.0f} | {used[-1] / 1e6:.0f} "
            f"| {share:+.2%} ± {doubt:.2%} |"
        )
        if share - doubt > FLAT:
            missed.append(f"memory of {part} grows by {share:.1%} in ten minutes")
    return missed


def growth(at: Sequence[float], used: Sequence[float]) -> tuple[float, float]:
    """Return the share that memory grows by in ten minutes, and two standard errors of it.

    By least squares over the last three quarters, when caches are filled. `at` are seconds.
    """
    begin = len(at) // 4
    x, y = np.asarray(at[begin:]), np.asarray(used[begin:])
    if len(x) < 3 or not y.mean():
        return 0.0, 0.0
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    scale = _TEN_MINUTES_S / y.mean()
    return float(slope * scale), float(2 * np.sqrt(covariance[0, 0]) * scale)
