"""Run every tier there is and print one table; the exit status is 1 when a gate fails.

usage: python -m benchmarks.labels [TIER ...] [--size SHARE] [--embedder NAME]
"""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from benchmarks.labels.result import TierResult

#: The tiers that any embedder of windows can be tried on.
_BY_EMBEDDER: Final = frozenset(("t1", "t2"))


def tiers() -> list[str]:
    """Return the names of the tier modules, t0 before t10."""
    names = (path.stem for path in Path(__file__).parent.glob("t*.py"))
    return sorted((name for name in names if re.fullmatch(r"t\d+", name)), key=lambda n: int(n[1:]))


def rows(result: TierResult) -> Iterator[str]:
    """Yield a row of the table for each gate of a tier."""
    for gate in result.gates:
        sign = "≥" if gate.at_least else "≤"
        verdict = "yes" if gate.holds else "**no**" if gate.must else "no, a target"
        yield (
            f"| {result.tier} | {gate.name} | {gate.value:.3g} | {sign} {gate.bound:g} "
            f"| {verdict} |\n"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, then what each tier measured and how long it took."""
    parser = argparse.ArgumentParser(prog="benchmarks.labels", description=__doc__)
    parser.add_argument("tiers", nargs="*", metavar="TIER", help="such as t1; all without one")
    parser.add_argument("--size", type=float, default=1.0, help="below 1: fewer features")
    parser.add_argument(
        "--embedder",
        help="t1 and t2 alone, by a sentence-transformers model, or by MODEL@URL on a server",
    )
    given = parser.parse_args(arguments)
    known = tiers()
    unknown = [name for name in given.tiers if name.lower() not in known]
    if unknown:
        parser.error(f"there is no tier {unknown[0]}; choose from {', '.join(known)}")
    chosen = [name.lower() for name in given.tiers]
    if given.embedder and (set(chosen) or {""}) - _BY_EMBEDDER:
        parser.error(f"--embedder is for {' and '.join(sorted(_BY_EMBEDDER))}; name them")
    options = {"embedder": given.embedder} if given.embedder else {}
    results = []
    sys.stdout.write("| tier | gate | value | bound | ok |\n|---|---|---|---|---|\n")
    for name in chosen or known:
        result = import_module(f"benchmarks.labels.{name}").run(size=given.size, **options)
        results.append(result)
        sys.stdout.writelines(rows(result))
        sys.stdout.flush()
    for result in results:
        notes = "".join(f"; {note}" for note in result.notes)
        sys.stdout.write(f"\n{result.tier}: {result.title}{notes} ({result.seconds:.0f} s)")
    sys.stdout.write("\n")
    return 0 if all(gate.holds for result in results for gate in result.gates if gate.must) else 1


if __name__ == "__main__":
    sys.exit(main())
