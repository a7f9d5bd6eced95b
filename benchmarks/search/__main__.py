"""Search a dictionary of a whole release's size: how fast, how well, and how much room it takes.

usage: python -m benchmarks.search [--layers N] [--width N] [--seconds N] [--users N] [--work DIR]

The dictionary is built by COPY from a seed on the first call and kept in DIR. Users ask over HTTP
and read for a quarter of a second on average before they ask again.
"""

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.search import concepts, load, recall
from benchmarks.search.build import Size, build, vacuum
from benchmarks.search.progress import Progress
from benchmarks.search.texts import LabelMaker
from sqlalchemy import text

from scopebook.db.migrate import revisions, upgrade
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.embedders import register_embedder
from scopebook.settings import Settings, settings, use_settings
from scopebook.vector_index import ensure_index, index_name
from scopebook_workers.labeling.embedders import MINILM, LocalEmbedder, load_embedder
from scopebook_workers.tasks.embed import publish_export

P50_MS: Final = 25.0
P95_MS: Final = 80.0
PAGE_P95_MS: Final = 30.0
RECALL: Final = 0.95


@contextmanager
def database(work: Path) -> Iterator[None]:
    """Run the server over the work folder and put it in the settings."""
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    server = EmbeddedPostgres(work / "postgres")
    server.start()
    artifacts = str(work / "artifacts")
    use_settings(Settings(database_url=server.url(), data_dir=work, artifacts_url=artifacts))
    try:
        yield
    finally:
        sessions().kw["bind"].dispose()
        sessions.cache_clear()  # the next database has an address of its own
        server.stop()


def register(embedder: LocalEmbedder) -> int:
    """Make the embedder ready for queries and return its id."""
    artifact = publish_export(embedder)
    with unit_of_work(sessions()) as session:
        return register_embedder(
            session,
            name=settings().embedder,
            sha256=embedder.sha256,
            dimension=embedder.dimension,
            artifact=artifact,
        ).id


def fill(work: Path, size: Size) -> None:
    """Build the dictionary unless it stands there already, and say how long each part took."""
    mark = work / "built.json"
    url = str(settings().database_url)
    if mark.exists() and json.loads(mark.read_text()) == _built(url, size):
        return
    mark.unlink(missing_ok=True)
    upgrade(url)
    embedder = load_embedder(MINILM[0])
    embedder_id = register(embedder)
    progress = Progress()
    build(size, LabelMaker(embedder.embed), embedder_id, progress)
    with unit_of_work(sessions()) as session:
        ensure_index(session, embedder_id)
    progress.done("index of vectors, sketches")
    vacuum(progress)
    sys.stdout.write("| building | s |\n|---|---|\n")
    sys.stdout.writelines(f"| {what} | {s:.0f} |\n" for what, s in progress.seconds.items())
    mark.write_text(json.dumps(_built(url, size)))


def _built(url: str, size: Size) -> list[object]:
    return [size.layers, size.width, revisions(url)[1]]


def tell_sizes() -> None:
    """Print how much room the dictionary takes."""
    names = ("feature_entry", "label", "label_embedding", "label_sketch")
    names += ("evidence", "feature", "label_score")
    with sessions()() as session:
        sys.stdout.write("\n| size | MB |\n|---|---|\n")
        total = session.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
        rows = [("whole database", total)]
        rows += [
            (name, session.execute(text(f"SELECT pg_total_relation_size('{name}')")).scalar_one())
            for name in names
        ]
        index = f"SELECT pg_relation_size(to_regclass('{index_name(1)}'))"
        rows.append(("of it the index of vectors", session.execute(text(index)).scalar_one() or 0))
    sys.stdout.writelines(f"| {name} | {size / 1e6:,.0f} |\n" for name, size in rows)


def main() -> int:
    """Print the tables; the exit status is 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.search", description=__doc__)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=32_768)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each kind of question")
    parser.add_argument("--work", type=Path, default=Path("build/bench-search"))
    parser.add_argument("--anew", action="store_true", help="build the dictionary again")
    given = parser.parse_args()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if given.anew:
        shutil.rmtree(given.work, ignore_errors=True)
    missed: list[str] = []
    with database(given.work.resolve()):
        fill(given.work, Size(given.layers, given.width))
        tell_sizes()
        found = recall.measure()
        missed += [f"recall {row.scope}" for row in found if row.at_20 < RECALL]
        times = load.measure(users=given.users, seconds=given.seconds)
        for row in times:
            p95 = PAGE_P95_MS if row.kind == load.PAGES else P95_MS
            if row.paced and (row.p95 > p95 or row.p50 > P50_MS or row.errors):
                missed.append(f"times of {row.kind}")
    with database(given.work.resolve() / "concepts"):
        upgrade(str(settings().database_url))
        missed += concepts.measure(register)
    sys.stdout.write(
        f"\n{'Every bound holds.' if not missed else 'Missed: ' + ', '.join(missed)}\n"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
