"""Time the queue of reviews over 786,432 features (24 layers of 32,768), as rows that SQL makes.

Prints how long it takes to order the queue anew for one layer, to take the next feature, to give a
verdict, and to do both after 20,000 verdicts. Nothing of it is a test: times differ by machine.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from sqlalchemy import text

from annotating import make_actor
from makers import make_corpus, make_release, make_run
from scopebook.accounts import Actor
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions, sessions_for
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.feature_writes import open_write
from scopebook.labelings import settle_labels
from scopebook.labels import current_labels
from scopebook.review_queue import next_feature, queue_state, release_feature
from scopebook.reviews import review_label

LAYERS = 24
WIDTH = 32_768

FEATURES = """
INSERT INTO feature (id, sae_id, index, decoder_norm, promoted, suppressed, neighbours)
SELECT (s.id::bigint << 20) | n, s.id, n, 1, '', '', ''
FROM sae s, generate_series(0, :width - 1) AS n
"""
EVIDENCE = """
INSERT INTO evidence (run_id, feature_id, count, contexts, density, mean, max, flags, histogram,
                      top_tokens, tags, examples)
SELECT s.current_run_id, f.id, 5, 1, power(10, -6 + 5 * ((f.id * 7919) % 32768) / 32768.0), 1, 3,
       '{}', '', '', '[]', ''
FROM feature f JOIN sae s ON s.id = f.sae_id
"""
LABELINGS = """
INSERT INTO labeling (sae_id, run_id, source, method, parameters, sha256, finished_at)
SELECT id, current_run_id, 'llm', 'a-model', '{}', '', now() FROM sae
"""
LABELS = """
INSERT INTO label (feature_id, sae_id, labeling_id, text, source, method, current)
SELECT f.id, f.sae_id, g.id, 'label ' || f.index, 'llm', 'a-model', false
FROM feature f JOIN labeling g ON g.sae_id = f.sae_id
"""
REVIEWS = """
INSERT INTO review (feature_id, label_id, account_id, verdict, counts)
SELECT l.feature_id, l.id, :account_id, 'accept', true
FROM queue_entry q JOIN label l ON l.feature_id = q.feature_id
ORDER BY q.priority DESC LIMIT 20000
"""


def fill(sessions: Sessions) -> list[int]:
    """Add the features with their labels; return their SAEs."""
    with sessions.begin() as session:
        saes = make_release(session, layers=range(LAYERS), d_sae=WIDTH, with_features=False)
        make_run(session, saes, make_corpus(session, ["abcdef"]))
        for statement in (FEATURES, EVIDENCE, LABELINGS, LABELS):
            session.execute(text(statement), {"width": WIDTH} if "width" in statement else {})
        session.execute(text("ANALYZE"))
        return [sae.id for sae in saes]


def timed(name: str, act: Callable[[], object], times: int = 1) -> None:
    """Print the median and the 95th percentile of some calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        act()
        taken.append((time.perf_counter() - start) * 1000)
    taken.sort()
    worst = taken[int(len(taken) * 0.95)]
    sys.stdout.write(f"{name:48} p50 {statistics.median(taken):9.1f} ms  p95 {worst:9.1f} ms\n")


def take(sessions: Sessions, actor: Actor, *, review: bool, **asked: object) -> None:
    """Take the next feature, and judge it or put it back for a day."""
    with sessions.begin() as session:
        lease = next_feature(session, actor, **asked)  # type: ignore[arg-type]
    assert lease is not None
    with sessions.begin() as session:
        if not review:
            release_feature(session, actor, lease.feature_id, skip=True)
            return
        label = current_labels(session, [lease.feature_id])[lease.feature_id]
        write = open_write(session, actor, lease.feature_id, None)
        review_label(session, write, label.id, "accept", None)


def measure(sessions: Sessions) -> None:
    """Fill a database, and time what the queue is asked for."""
    sae_ids = fill(sessions)
    with sessions.begin() as session:
        ada, ben = make_actor(session, "ada"), make_actor(session, "ben")

    def settle(ids: list[int]) -> None:
        with sessions.begin() as session:
            settle_labels(session, ids)

    def count() -> None:
        with sessions.begin() as session:
            queue_state(session)

    for sae_id in sae_ids[1:]:
        settle([sae_id])
    timed("settle and order one layer", lambda: settle(sae_ids[:1]))
    timed("count the queue", count, 5)
    timed("take and put aside", lambda: take(sessions, ada, review=False), 100)
    timed("take and judge", lambda: take(sessions, ada, review=True), 100)
    timed("take and judge in one layer", lambda: take(sessions, ben, review=True, layers=[7]), 50)
    with sessions.begin() as session:
        session.execute(text(REVIEWS), {"account_id": ada.account_id})
        settle_labels(session, sae_ids)
    timed("take and judge after 20,000 verdicts", lambda: take(sessions, ada, review=True), 100)


def main() -> None:
    """Run over a server of its own."""
    home = Path(tempfile.mkdtemp(prefix="scopebook-bench-"))
    home.chmod(0o755)
    server = EmbeddedPostgres(home)
    server.start()
    try:
        upgrade(server.url("postgres"))
        measure(sessions_for(server.url("postgres")))
    finally:
        server.stop()
        server.remove()


if __name__ == "__main__":
    main()
