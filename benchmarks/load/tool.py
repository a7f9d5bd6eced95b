"""Locust in an environment of its own, run once for each rate."""

import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
TOOLS: Final = ROOT / "build" / "load-tools"
TRAFFIC: Final = Path(__file__).with_name("traffic.py")
#: As in `traffic.py`, which cannot be read from here.
PERIOD_S: Final = 10.0
#: Connections and caches of a rate are warm after so long; times count from then.
SETTLE_S: Final = 10.0
#: The kinds of requests; "whole page" is no request of its own.
KINDS: Final = ("search", "page", "annotate", "inspect")
WHOLE_PAGE: Final = "whole page"


def locust() -> Path:
    """Return Locust's command; it is installed apart, since nothing of it is part of Scopebook."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["load"]
    noted = TOOLS / "installed"
    if not noted.exists() or noted.read_text().splitlines() != wanted:
        venv.create(TOOLS, with_pip=True, clear=True)
        pip = [TOOLS / "bin" / "python", "-m", "pip", "install", "-q", *wanted]
        if subprocess.run(pip, check=False).returncode:
            raise SystemExit(
                f"The load tool could not be installed: give pip an index that has {wanted[0]!r}, "
                f"or install it into {TOOLS} by hand; nothing was measured."
            )
        noted.write_text("\n".join(wanted))
    return TOOLS / "bin" / "locust"


@dataclass(frozen=True)
class Sent:
    """One request: milliseconds from when it was due to the end of its answer, and lateness."""

    kind: str
    what: str
    ms: float
    late_ms: float
    status: int


@dataclass(frozen=True)
class Answers:
    """What became of the arrivals of one rate."""

    rate: float
    seconds: float
    sent: Sequence[Sent]

    @property
    def requests(self) -> list[Sent]:
        """Return what was sent, without what is put together of it."""
        return [one for one in self.sent if one.kind != WHOLE_PAGE]

    @property
    def per_second(self) -> float:
        """Return the requests a second."""
        return len(self.requests) / self.seconds

    @property
    def errors(self) -> int:
        """Return the answers that were none, or not of 200."""
        return sum(one.status != 200 for one in self.requests)

    def ms(self, kind: str | None = None) -> list[float]:
        """Return the times of a kind of request, or of all."""
        return [
            one.ms for one in (self.sent if kind else self.requests) if kind in (None, one.kind)
        ]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return what so many of a hundred do not exceed; nan where there are too few to tell."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else float("nan")


def attack(
    url: str,
    tokens: Sequence[str],
    planned: Sequence[dict[str, Any]],
    *,
    rate: float,
    seconds: float,
    work: Path,
    beside: Callable[[subprocess.Popen[bytes]], None],
) -> Answers:
    """Let so many arrive a second; `beside` is called when times begin to count."""
    people = round(rate * PERIOD_S)
    records, plan, log = work / "records.jsonl", work / "plan.json", work / "locust.log"
    plan.write_text(json.dumps(list(planned)))
    given = {"PLAN": str(plan), "TOKENS": json.dumps(list(tokens)), "RATE": str(rate)}
    given |= {"PEOPLE": str(people), "SECONDS": str(SETTLE_S + seconds), "RECORDS": str(records)}
    argv = [str(locust()), "-f", str(TRAFFIC), "--headless", "--host", url, "--only-summary"]
    argv += ["-u", str(people), "-r", "200", "--run-time", f"{int(SETTLE_S + seconds + 120)}s"]
    argv += ["--stop-timeout", "60", "--exit-code-on-error", "0", "--skip-log-setup"]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = kept | {f"LOAD_{name}": value for name, value in given.items()}
    records.unlink(missing_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(argv, env=environment, stdout=out, stderr=out)
        try:
            time.sleep(2 + people / 200 + SETTLE_S)
            beside(process)
            status = process.wait(seconds + 400)
        finally:
            process.kill()
    if status or not records.exists():
        raise SystemExit(f"The load tool ended with {status}; {log} says why.")
    return _read(records, rate, seconds)


def planned_for(rate: float, seconds: float) -> int:
    """Return how many arrive, with some to spare."""
    return int(rate * (SETTLE_S + seconds) * 1.02) + 20


def _read(records: Path, rate: float, seconds: float) -> Answers:
    rows = [json.loads(line) for line in records.read_text().splitlines()]
    begin = min(row[2] for row in rows) + SETTLE_S
    sent = [
        Sent(kind, what, (ended - due) * 1000, (begun - due) * 1000, status)
        for kind, what, due, begun, ended, status in rows
        if due >= begin
    ]
    late = percentile([one.late_ms for one in sent], 99)
    if late > 25:
        sys.stderr.write(f"The load tool itself was late: 99 of 100 began within {late:.0f} ms.\n")
    return Answers(rate, seconds, sent)
