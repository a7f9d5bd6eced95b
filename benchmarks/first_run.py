"""Time the parts of a first run: from an empty data folder to a searchable demo dictionary.

usage: python benchmarks/first_run.py [--runs N]

Prints, for the median of N whole runs, the wall seconds of each part and its share of the whole.
Steps of one stage may run side by side, so a part spans from its first start to its last end.
"""

import argparse
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from running import Running

PARTS = {
    "release.add": "register the release",
    "embedder.export": "export the embedder",
    "corpus.tokenise": "tokenise the corpus",
    "run.plan": "plan the run",
    "shard.collect": "collect",
    "sae.merge": "merge",
    "sae.label": "senses and keyword labels",
    "labels.embed": "embed the labels",
}
LONGEST_S = 1800


def measure() -> dict[str, float]:
    """Return the wall seconds of each part of one first run."""
    with tempfile.TemporaryDirectory(prefix="scopebook-bench-") as folder:
        running = Running(Path(folder) / "data")
        begun = datetime.now().astimezone()
        running.start()
        try:
            running.wait_for("/api/health", bool, within_s=LONGEST_S)
            up = datetime.now().astimezone()
            status = running.wait_for("/api/status", _built, within_s=LONGEST_S)
        finally:
            running.stop()
    demo = status["demo"]
    spans = {"start servers and migrate": (up - begun).total_seconds()}
    spans |= {title: _span(demo["steps"], kind) for kind, title in PARTS.items()}
    spans["whole"] = (_moment(demo["finished_at"]) - begun).total_seconds()
    return spans


def _built(status: Any) -> bool:
    demo = status["demo"]
    return demo is not None and demo["state"] == "done"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _span(steps: list[Any], kind: str) -> float:
    own = [step for step in steps if step["kind"] == kind]
    first = min(_moment(step["started_at"]) for step in own)
    last = max(_moment(step["finished_at"]) for step in own)
    return (last - first).total_seconds()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = [measure() for _ in range(parser.parse_args().runs)]
    medians = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    sys.stdout.write(f"| part | seconds (median of {len(runs)}) | share |\n|---|---|---|\n")
    for part, seconds in medians.items():
        sys.stdout.write(f"| {part} | {seconds:.1f} | {seconds / medians['whole']:.0%} |\n")


if __name__ == "__main__":
    main()
