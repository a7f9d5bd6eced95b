"""Time how the evidence of a wide SAE is written and read, and how much room it takes.

usage: python benchmarks/storage.py [--features N] [--tokens N]

An embedded PostgreSQL holds the demo corpus, tokenised as ever. Features fire over it at random,
but as real ones do: some often, some seldom, and those of one context again and again. What is
written are the rows of a collection: statistics, 20 best and up to 60 sampled examples each, with
their windows.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sqlalchemy import event, func, select

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.makers import make_feature, make_model, make_release

from scopebook.bulk import copy_rows
from scopebook.corpora import add_corpus
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import Context, Evidence, Feature, Run, Sae, Tokenizer
from scopebook.demo import bundle_path
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.examples import Window, read_examples
from scopebook.jobs import TOKENISE_CORPUS
from scopebook.packing import unpack_examples, unpack_ints
from scopebook.runs import request_collection
from scopebook.settings import Settings, use_settings
from scopebook_workers.claims import work_off
from scopebook_workers.sae.encode import Active
from scopebook_workers.sae.evidence import feature_evidence
from scopebook_workers.sae.firings import Contexts, make_batch
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.tasks.merge import EVIDENCE_COLUMNS, evidence_row

K = 50
#: Share of a token's features that its context has fired before.
BURSTY = 0.4
PAGES = 300


def prepare(features: int) -> tuple[int, int]:
    """Register a release of one layer and the demo corpus; return the run and the SAE."""
    bundle = bundle_path()
    with unit_of_work(sessions()) as session:
        model = make_model(session)
        folder = next((bundle / "models").iterdir())
        session.get_one(Tokenizer, model.tokenizer_id).path = str(folder)
        (sae,) = make_release(session, model=model, layers=[1], d_sae=features, with_features=False)
        session.add_all(make_feature(sae, index) for index in range(features))
        add_corpus(session, "demo", next((bundle / "corpus").glob("*.jsonl")))
        release = "SAE-Res-Tiny-Model-W1K-L0_8"
        job = request_collection(session, release, "demo", label=False)
        run_id = session.scalars(select(Run.id).where(Run.job_id == job.id)).one()
        sae_id = sae.id
    work_off(TOKENISE_CORPUS)
    return run_id, sae_id


def fire(state: FeatureState, tokens: int) -> int:
    """Let features fire over contexts of the corpus; return how many tokens were read."""
    with unit_of_work(sessions()) as session:
        rows = session.execute(
            select(Context.id, Context.tokens).where(Context.n_tokens > 1).order_by(Context.id)
        ).all()
    dice = np.random.default_rng(0)
    often = dice.zipf(1.3, size=2**16) % len(state.statistics.total)
    seen = 0
    for start in range(0, len(rows), 16):
        if seen >= tokens:
            break
        part = rows[start : start + 16]
        token_ids = [unpack_ints(row.tokens) for row in part]
        contexts = _contexts([row.id for row in part], token_ids, dice)
        batch = make_batch(contexts, token_ids, torch.device("cpu"))
        usable = batch.position > 0
        active = _active(len(batch.context), batch.context.numpy(), often, dice, state)
        state.update(batch, active, usable=usable, sinks=torch.zeros_like(usable))
        seen += len(batch.context)
    return seen


def _contexts(ids: list[int], token_ids: Any, dice: np.random.Generator) -> Contexts:
    return Contexts(
        ids=np.asarray(ids),
        groups=np.asarray(ids),
        keys=dice.integers(-(2**63), 2**63 - 1, len(ids)),
        lengths=np.asarray([len(row) for row in token_ids], dtype=np.int32),
        tags=np.zeros(len(ids), dtype=np.int32),
    )


def _active(
    tokens: int, context: Any, often: Any, dice: np.random.Generator, state: FeatureState
) -> Active:
    d_sae = len(state.statistics.total)
    spread = dice.integers(0, d_sae, (tokens, K))
    again = dice.integers(0, d_sae, (context.max() + 1, 100))[
        context[:, None], dice.integers(0, 100, (tokens, K))
    ]
    chance = dice.random((tokens, K))
    feature = np.where(chance < BURSTY, again, spread)
    feature[:, :5] = often[dice.integers(0, len(often), (tokens, 5))]
    feature.sort(axis=1)
    fresh = np.ones_like(feature, dtype=bool)
    fresh[:, 1:] = feature[:, 1:] != feature[:, :-1]
    token, place = np.nonzero(fresh)
    value = dice.lognormal(0, 0.7, len(token)).astype(np.float32)
    return Active(
        torch.from_numpy(token), torch.from_numpy(feature[token, place]), torch.from_numpy(value)
    )


def write(state: FeatureState, run_id: int, sae_id: int) -> tuple[float, float]:
    """Return the seconds of making the rows, and of their COPY with its commit."""
    begun = time.perf_counter()
    rows = [evidence_row(run_id, sae_id, evidence) for evidence in feature_evidence(state, ["all"])]
    made = time.perf_counter()
    with unit_of_work(sessions()) as session:
        copy_rows(session, Evidence, EVIDENCE_COLUMNS, rows)
        session.get_one(Sae, sae_id).current_run_id = run_id
    return made - begun, time.perf_counter() - made


class QueryClock:
    """Adds up the seconds that statements take in the database and on their way."""

    def __init__(self) -> None:
        self.seconds = self._begun = 0.0
        engine = sessions().kw["bind"]
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)

    def _begin(self, *_: Any) -> None:
        self._begun = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self.seconds += time.perf_counter() - self._begun


def read(features: int, sae_id: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of the queries for some features' pages, and of these as text."""
    dice = np.random.default_rng(1)
    queries, whole = [], []
    clock = QueryClock()
    for index in dice.integers(0, features, PAGES).tolist():
        with unit_of_work(sessions()) as session:
            clock.seconds, begun = 0.0, time.perf_counter()
            packed = session.scalars(
                select(Evidence.examples).where(Evidence.feature_id == (sae_id << 20 | index))
            ).one()
            examples = unpack_examples(packed)
            windows = [Window(examples=examples, position=i) for i in range(len(examples))]
            read_examples(session, windows)
            whole.append((time.perf_counter() - begun) * 1e3)
            queries.append(clock.seconds * 1e3)
    return queries, whole


def sizes(features: int) -> dict[str, float]:
    """Return the bytes per feature of each table, indexes and TOAST included."""
    with unit_of_work(sessions()) as session:
        return {
            table.__tablename__: session.scalars(
                select(func.pg_total_relation_size(table.__tablename__))
            ).one()
            / features
            for table in (Evidence, Feature)
        }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=32_768)
    parser.add_argument("--tokens", type=int, default=500_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scopebook-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        server = EmbeddedPostgres(home)
        server.start()
        try:
            upgrade(server.url())
            use_settings(Settings(database_url=server.url(), data_dir=home, broker_url=None))
            _measure(wanted.features, wanted.tokens)
            sessions().kw["bind"].dispose()
        finally:
            server.stop()
            server.remove()


def _measure(features: int, tokens: int) -> None:
    run_id, sae_id = prepare(features)
    state = FeatureState.empty(features, tags=1)
    seen = fire(state, tokens)
    kept = len(state.candidates())
    made, copied = write(state, run_id, sae_id)
    by_table = sizes(features)
    queries, whole = read(features, sae_id)
    figures = {
        "features": f"{features:,}",
        "tokens read": f"{seen:,}",
        "examples": f"{kept:,} ({kept / features:.1f} a feature)",
        "rows made": f"{made:.1f} s",
        "rows copied": f"{copied:.1f} s",
        "evidence a feature": f"{by_table['evidence']:,.0f} bytes",
        "weights' facts a feature": f"{by_table['feature']:,.0f} bytes",
        "a page's examples, read": f"{statistics.median(queries):.1f} ms (median)",
        "the same, as text by token": f"{statistics.median(whole):.1f} ms (median)",
    }
    sys.stdout.write("| what | figure |\n|---|---|\n")
    sys.stdout.writelines(f"| {name} | {figure} |\n" for name, figure in figures.items())


if __name__ == "__main__":
    main()
