"""Load an instance with the dictionary of a whole release: how much, how fast, for how long.

usage: python -m benchmarks.load [--seconds N] [--from RATE] [--warm N] [--rate RATE]
    [--soak MINUTES]

People search, open features, annotate and inspect texts, at a rate of arrivals that is raised until
95 of 100 requests take more than 300 ms, or one fails; the best rate is the highest at which they
are answered within 150 ms. Then people come for `--soak` minutes at 70 % of it, and memory must
stay flat. The dictionary is that of `make bench-search`, of which a copy is run. The exit status is
1 where no rate holds the bound, a request fails, or memory grows.
"""

import argparse
import itertools
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from benchmarks.load import report, watching
from benchmarks.load.instance import Loaded, instance
from benchmarks.load.plan import actions, labelled
from benchmarks.load.tool import Answers, attack, percentile, planned_for
from benchmarks.search.__main__ import database, fill
from benchmarks.search.build import Size

P95_MS: Final = 150.0
SOAK_SHARE: Final = 0.7
SAMPLE_S: Final = 10.0
_STEP: Final = 1.25
_FAR_ABOVE: Final = 2


@dataclass
class Bench:
    """A running instance, and the people who have not come yet."""

    loaded: Loaded
    planned: Iterator[dict[str, Any]]
    work: Path

    def arrive(
        self, rate: float, seconds: float, beside: Callable[[subprocess.Popen[bytes]], None]
    ) -> Answers:
        """Let so many come a second."""
        wanted = planned_for(rate, seconds)
        coming = list(itertools.islice(self.planned, wanted))
        if len(coming) < wanted:
            raise SystemExit("All features to annotate are used up: use a larger dictionary.")
        return attack(
            self.loaded.url,
            self.loaded.tokens,
            coming,
            rate=rate,
            seconds=seconds,
            work=self.work,
            beside=beside,
        )

    def measured(self, rate: float, seconds: float) -> tuple[Answers, report.Cores]:
        """Let so many come a second; return what became of them and who used the processor."""
        used: dict[str, float] = {}

        def watch(tool: subprocess.Popen[bytes]) -> None:
            before = self._used(tool)
            time.sleep(seconds)
            after = self._used(tool)
            used.update({part: (after[part] - before[part]) / seconds for part in after})

        return self.arrive(rate, seconds, watch), used

    def _used(self, tool: subprocess.Popen[bytes]) -> report.Cores:
        times = psutil.Process(tool.pid).cpu_times()
        used = watching.processor_seconds(self.loaded.pid) | {
            "load tool": times.user + times.system
        }
        return used | {"anything else": watching.busy_seconds() - sum(used.values())}


def ramp(bench: Bench, first: float, seconds: float) -> tuple[float, int]:
    """Raise the rate until times are far above the bound; return the best (0: none) and the errors.

    One that fails by a little is no end: times of a few hundred requests scatter.
    """
    report.ramp_head()
    found, rate = 0.0, first
    while True:
        answers, cores = bench.measured(rate, seconds)
        report.ramp_rows(answers, cores)
        p95 = percentile(answers.ms(), 95)
        if not answers.errors and p95 < P95_MS:
            found = rate
        if answers.errors or p95 > _FAR_ABOVE * P95_MS:
            return found, answers.errors
        rate *= _STEP


def soak(bench: Bench, rate: float, minutes: float) -> list[str]:
    """Let people come for so long; return what did not hold."""
    memory = watching.Memory(bench.loaded.pid)
    sizes = [bench.loaded.database_bytes()]
    whole = [watching.proportional(bench.loaded.pid)]
    seconds = minutes * 60

    def watch(_: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            memory.sample()
            time.sleep(SAMPLE_S)

    answers = bench.arrive(rate, seconds, watch)
    whole.append(watching.proportional(bench.loaded.pid))
    sizes.append(bench.loaded.database_bytes())
    missed = report.soaked(answers, minutes, sizes)
    missed += report.memory(memory, whole)
    return missed


def run(bench: Bench, given: argparse.Namespace) -> list[str]:
    """Raise the rate, then hold one; return what did not hold."""
    bench.loaded.warm()
    bench.arrive(given.first, given.warm, lambda _: time.sleep(given.warm))
    rate, missed = given.rate, []
    if not rate:
        found, errors = ramp(bench, given.first, given.seconds)
        missed += [f"{errors} requests failed"] if errors else []
        missed += [] if found else [f"p95 is above {P95_MS:.0f} ms at every rate"]
        report.found(found)
        rate = round((found or given.first) * SOAK_SHARE, 2)
    if given.soak:
        missed += soak(bench, rate, given.soak)
    return missed


def main() -> int:
    """Print the tables; the exit status is 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=32_768)
    parser.add_argument("--seconds", type=float, default=60.0, help="at each rate")
    parser.add_argument("--from", type=float, default=2.0, dest="first", help="first rate")
    parser.add_argument("--warm", type=float, default=40.0, help="seconds at it before it counts")
    parser.add_argument("--rate", type=float, help="soak at this rate, and do not raise it first")
    parser.add_argument("--soak", type=float, default=20.0, help="minutes; 0: none")
    parser.add_argument("--processes", type=int, default=1, help="that answer the API")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dictionary", type=Path, default=Path("build/bench-search"))
    parser.add_argument("--work", type=Path, default=Path("build/bench-load"))
    given = parser.parse_args()
    # What was started is ended too when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    size = Size(given.layers, given.width)
    with database(given.dictionary.resolve()):
        fill(given.dictionary, size)
    work = given.work.resolve()
    with instance(given.dictionary.resolve(), work, processes=given.processes) as loaded:
        targets = labelled(loaded.database_url, seed=given.seed)
        planned = actions(targets, seed=given.seed, size=size)
        missed = run(Bench(loaded, planned, work), given)
    said = "Every bound holds." if not missed else "Missed: " + "; ".join(missed)
    sys.stdout.write(f"\n{said}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
