"""How long answers take when several users ask at once, over HTTP from a server of its own."""

import http.client
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Final
from urllib.parse import quote, urlencode

from benchmarks.search.queries import SCOPES, questions
from sqlalchemy import text

from scopebook.db.sessions import sessions
from scopebook.embedded.programs import environment
from scopebook.search_filters import Filters
from scopebook.settings import settings

PAGES: Final = "feature page"
MIXED: Final = "all of these, mixed"
#: Seconds that a user reads before asking again, on average.
PAUSE_S: Final = 0.25
_PARAMETERS: Final = {"layers": "layer", "sources": "source", "scripts": "script"} | {
    "authors": "author"
}


@dataclass
class Times:
    """Milliseconds of answers to one kind of question."""

    kind: str
    paced: bool
    seconds: float
    taken: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def p50(self) -> float:
        """Return the median."""
        return statistics.median(self.taken)

    @property
    def p95(self) -> float:
        """Return what 95 of 100 answers do not exceed."""
        return statistics.quantiles(self.taken, n=20)[-1]

    def row(self) -> str:
        """Return a row of the table."""
        return (
            f"| {self.kind} | {'reads' if self.paced else 'asks on'} | {self.p50:.1f} "
            f"| {self.p95:.1f} | {max(self.taken):.0f} | {len(self.taken) / self.seconds:.0f} "
            f"| {self.errors} |\n"
        )


@contextmanager
def server() -> Iterator[int]:
    """Run the API as `scopebook up` does, and give its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    chosen = settings().model_copy(update={"port": port, "log_level": "WARNING"})
    env = environment(chosen, str(chosen.database_url), None)
    argv = [sys.executable, "-m", "scopebook_api.serving"]
    process = subprocess.Popen(argv, env={**os.environ, **env})
    try:
        _wait(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("The API did not start within a minute.")


def measure(*, users: int, seconds: float) -> list[Times]:
    """Print and return the times of each kind of question, and of all mixed."""
    paths = {name: _searches(filters) for name, filters in SCOPES.items()}
    mixed = [path for group in zip(*paths.values(), strict=True) for path in group]
    random.Random(3).shuffle(mixed)
    kinds = {**paths, MIXED: mixed, PAGES: _pages()}
    rows = []
    with server() as port:
        _ask(port, mixed[:200] + kinds[PAGES][:100], 2, 10.0, paced=False, kind="warming")
        sys.stdout.write(
            f"\n{users} users\n\n| question | user | p50 ms | p95 ms | max ms | answers/s"
        )
        sys.stdout.write(" | errors |\n|---|---|---|---|---|---|---|\n")
        for kind, asked in kinds.items():
            rows.append(_ask(port, asked, users, seconds, paced=True, kind=kind))
            sys.stdout.write(rows[-1].row())
            sys.stdout.flush()
        rows.append(_ask(port, mixed, users, seconds, paced=False, kind=MIXED))
        sys.stdout.write(rows[-1].row())
    return rows


def _searches(filters: Filters) -> list[str]:
    """Return the paths of searches inside a scope; every question is asked once."""
    asked = [
        (_PARAMETERS.get(one.name, one.name), value)
        for one in fields(filters)
        if (value := getattr(filters, one.name)) not in (None, ())
    ]
    return [
        "/api/search?" + urlencode([("q", question), ("preview", "true"), *asked], doseq=True)
        for question in questions(1_000)
    ]


def _pages() -> list[str]:
    with sessions()() as session:
        rows = session.execute(
            text(
                "SELECT m.name, s.layer, r.set_name, f.index FROM feature f"
                " TABLESAMPLE SYSTEM (0.5) JOIN sae s ON s.id = f.sae_id"
                " JOIN release r ON r.id = s.release_id JOIN model m ON m.id = r.model_id"
                " ORDER BY md5(f.id::text) LIMIT 2000"
            )
        )
        return [
            f"/api/features/{quote(row.name)}/{row.layer}-{row.set_name}/{row.index}"
            for row in rows
        ]


def _ask(
    port: int, paths: Sequence[str], users: int, seconds: float, *, paced: bool, kind: str
) -> Times:
    """Let each user ask in turn for so long, every one beginning elsewhere."""
    times = Times(kind, paced, seconds)
    until = time.monotonic() + seconds

    def user(number: int) -> None:
        dice = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        place = number * len(paths) // users
        while time.monotonic() < until:
            if paced:
                time.sleep(dice.expovariate(1 / PAUSE_S))
            begun = time.perf_counter()
            connection.request("GET", paths[place % len(paths)])
            answer = connection.getresponse()
            answer.read()
            times.taken.append((time.perf_counter() - begun) * 1000)
            times.errors += answer.status != 200
            place += 1

    threads = [threading.Thread(target=user, args=(number,)) for number in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times
