"""Time how a step is claimed and ended, and the sweep's look, with 100 to 100,000 shards waiting.

Half as many are done already, and two jobs have them. Medians of milliseconds over the bundled
PostgreSQL, one process. Nothing of it is a test: times differ by machine.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text

from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions_for
from scopebook.due_steps import due_kinds
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, QUEUE_OF
from scopebook.steps import NewStep, claim_step, create_job, finish_step
from scopebook.waking import MAX_NOTICES
from scopebook.work_state import read_work

SIZES = (100, 1_000, 10_000, 100_000)
JOBS = 2
ROUNDS = 60

SHARDS = """
INSERT INTO step (job_id, stage, kind, title, parameters, state)
SELECT :job_id, 0, :kind, 'Shard ' || n, '{}',
       CASE WHEN n > :queued THEN 'done' ELSE 'queued' END
FROM generate_series(:queued + :queued / 2, 1, -1) AS n
"""


def plant(sessions: Sessions, shards: int) -> None:
    """Make two jobs of half as many shards each, and as many again by half that are done."""
    with sessions.begin() as session:
        for _ in range(JOBS):
            merge = NewStep(kind=MERGE_SAE, stage=1, title="Merge")
            job = create_job(session, "run", "A run", [merge])
            values = {"job_id": job.id, "kind": COLLECT_SHARD, "queued": shards // JOBS}
            session.execute(text(SHARDS), values)
    with sessions.begin() as session:
        session.execute(text("ANALYZE step"))


def claim_and_end(sessions: Sessions) -> None:
    """Do what a worker does around a shard."""
    with sessions.begin() as session:
        held = claim_step(session, *QUEUE_OF, worker="w", lease_s=60, max_attempts=8)
        assert held is not None
    with sessions.begin() as session:
        finish_step(session, held)


def look(sessions: Sessions) -> None:
    """Do what the sweep does."""
    with sessions.begin() as session:
        due_kinds(session, at_most=MAX_NOTICES)


def scrape(sessions: Sessions) -> None:
    """Do what a scrape does of the queues."""
    with sessions.begin() as session:
        read_work(session)


def median_ms(act: Callable[[Sessions], None], sessions: Sessions, rounds: int) -> float:
    """Return the median of a few times."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        act(sessions)
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    home = Path(tempfile.mkdtemp(prefix="scopebook-bench-"))
    home.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    server = EmbeddedPostgres(home)
    server.start()
    sys.stdout.write(
        "| shards waiting | claim and end, ms | sweep, ms | scrape, ms |\n|--:|--:|--:|--:|\n"
    )
    try:
        upgrade(server.url())
        sessions = sessions_for(server.url())
        for size in SIZES:
            plant(sessions, size)
            claimed = median_ms(claim_and_end, sessions, ROUNDS)
            swept, scraped = (median_ms(act, sessions, 9) for act in (look, scrape))
            sys.stdout.write(f"| {size:,} | {claimed:.1f} | {swept:.1f} | {scraped:.1f} |\n")
            with sessions.begin() as session:
                session.execute(text("TRUNCATE job CASCADE"))
    finally:
        server.stop()
        server.remove()


if __name__ == "__main__":
    main()
