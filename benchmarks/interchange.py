"""Time a dump out and in, and the memory that each takes, at two widths of one layer.

usage: python benchmarks/interchange.py [--features 8192,32768] [--examples N]
           [--format parquet|neuronpedia]

Every feature has examples of a dozen active tokens in windows of up to 128, three senses, an
outcome, a label and a score. Each step is a process of its own, so that its peak is its own.
"""

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine, text

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.makers import make_feature, make_labeling, make_model, make_release

from scopebook.bulk import copy_rows
from scopebook.db.jobs import Job
from scopebook.db.label_tables import Label, LabelOutcome, LabelScore, Sense
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import sessions_for, unit_of_work
from scopebook.db.tables import (
    FEATURE_BITS,
    Context,
    Corpus,
    Document,
    Evidence,
    Run,
    Tokenisation,
    TokenPiece,
)
from scopebook.embedded.postgres import EmbeddedPostgres
from scopebook.interchange.neuronpedia_in import import_neuronpedia
from scopebook.interchange.neuronpedia_out import export_neuronpedia
from scopebook.interchange.parquet_in import import_parquet
from scopebook.interchange.parquet_out import export_parquet, steady
from scopebook.packing import BINS, ExampleSet, pack_counts, pack_examples, pack_ints, pack_pairs
from scopebook.settings import settings, use_settings

TOKENS, VOCABULARY, ACTIVE = 128, 8_192, 12
RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"


def build(url: str, features: int, examples: int) -> None:
    """Fill an empty database with a dictionary of one layer."""
    upgrade(url)
    dice = np.random.default_rng(0)
    with unit_of_work(sessions_for(url)) as session:
        model = make_model(session)
        pieces = ((model.tokenizer_id, at, f" w{at:05d}".encode()) for at in range(5, VOCABULARY))
        copy_rows(session, TokenPiece, ("tokenizer_id", "token_id", "piece"), pieces)
        (sae,) = make_release(session, model=model, layers=[1], d_sae=features, with_features=False)
        for first in range(0, features, 4_096):
            session.add_all(
                make_feature(sae, at) for at in range(first, min(features, first + 4_096))
            )
            session.flush()
            session.expunge_all()
        run_id = _texts(session, sae.release_id, model.tokenizer_id, features * 4, dice)
        session.execute(text("UPDATE sae SET current_run_id = :run"), {"run": run_id})
        _evidence(session, sae.id, run_id, features, examples, dice)
        _labels(session, sae, run_id, features)


def _texts(session: Any, release_id: int, tokenizer_id: int, count: int, dice: Any) -> int:
    corpus = Corpus(name="words", source="made for this")
    job = Job(kind="test", title="", parameters={})
    session.add_all([corpus, job])
    session.flush()
    cut = Tokenisation(corpus_id=corpus.id, tokenizer_id=tokenizer_id, context_tokens=TOKENS)
    session.add(cut)
    session.flush()
    words = dice.integers(5, VOCABULARY, size=(count, TOKENS), dtype=np.int32)
    spans = pack_ints(np.stack([np.arange(TOKENS) * 7, np.arange(1, TOKENS + 1) * 7], axis=1))
    columns = ("id", "corpus_id", "ordinal", "name", "sha256", "text")
    documents = (_document(corpus.id, at, row) for at, row in enumerate(words, 1))
    copy_rows(session, Document, columns, documents)
    columns = ("id", "tokenisation_id", "document_id", "ordinal", "n_tokens", "tokens", "spans")
    rows = ((at, cut.id, at, 0, TOKENS, pack_ints(row), spans) for at, row in enumerate(words, 1))
    copy_rows(session, Context, columns, rows)
    run = Run(
        job_id=job.id,
        release_id=release_id,
        tokenisation_id=cut.id,
        layers=[1],
        parameters={},
        tokens_seen=count * TOKENS,
        contexts_seen=count,
    )
    session.add(run)
    session.flush()
    return run.id


def _document(corpus_id: int, at: int, row: Any) -> tuple[Any, ...]:
    content = "".join(f" w{word:05d}" for word in row.tolist())
    digest = hashlib.sha256(content.encode()).digest()
    return at, corpus_id, at, f"text {at}", digest, content


def _evidence(session: Any, sae_id: int, run_id: int, features: int, n: int, dice: Any) -> None:
    counts, pairs = pack_counts(np.ones(BINS, dtype=np.int64)), pack_pairs([7, 8], [0.6, 0.2])
    columns = (
        *("run_id", "feature_id", "count", "contexts", "density", "mean", "max", "flags"),
        *("histogram", "top_tokens", "tags", "examples", "first_context_id", "last_context_id"),
    )

    def rows() -> Any:
        for at in range(features):
            ids = dice.choice(features * 4, n, replace=False) + 1
            packed = pack_examples(_examples(ids, dice))
            yield (
                *(run_id, sae_id << FEATURE_BITS | at, 900, n, 0.01, 1.5, 9.0, []),
                *(counts, pairs, [["web", 0.5, 1.2]], packed, int(ids.min()), int(ids.max())),
            )

    copy_rows(session, Evidence, columns, rows())


def _examples(ids: Any, dice: Any) -> ExampleSet:
    n = len(ids)
    positions = np.sort(dice.permuted(np.tile(np.arange(TOKENS), (n, 1)), axis=1)[:, :ACTIVE])
    shares = dice.random((n, ACTIVE)).astype(np.float16)
    shares[:, 0] = 1
    return ExampleSet(
        context_id=ids.astype(np.int64),
        kind=(np.arange(n) >= n // 4).astype(np.uint8),
        activation=np.linspace(9, 1, n).astype(np.float32),
        quantile=np.linspace(1, 0, n).astype(np.float32),
        peak=positions[:, 0].astype(np.int32),
        start=np.zeros(n, dtype=np.int32),
        end=np.full(n, TOKENS, dtype=np.int32),
        offsets=(np.arange(n + 1) * ACTIVE).astype(np.int32),
        positions=positions.ravel().astype(np.int32),
        shares=shares.ravel(),
    )


def _labels(session: Any, sae: Any, run_id: int, features: int) -> None:
    labeling = make_labeling(session, sae, run_id)
    ids = [sae.id << FEATURE_BITS | at for at in range(features)]
    columns: tuple[str, ...] = ("labeling_id", "feature_id", "status", "example_set")
    copy_rows(session, LabelOutcome, columns, ((labeling.id, at, "ok", b"e" * 32) for at in ids))
    columns = ("labeling_id", "feature_id", "ordinal", "share", "keywords", "members")
    senses = ((labeling.id, at, k, 0.3, ["w1"], [k, k + 3]) for at in ids for k in range(3))
    copy_rows(session, Sense, columns, senses)
    columns = (
        *("id", "feature_id", "sae_id", "labeling_id", "text", "source", "method"),
        *("provenance", "current"),
    )
    labels = (
        (n, at, sae.id, labeling.id, f"words like w{n:05d}", "keywords", "keywords-2", {}, True)
        for n, at in enumerate(ids, 1)
    )
    copy_rows(session, Label, columns, labels)
    columns = (
        *("label_id", "scorer", "scorer_version", "judge", "n_pos", "n_neg_random"),
        *("n_neg_hard", "n_failed", "value", "held_out_sha256", "details"),
    )
    scores = (
        (n, "detection", "1", "a-model", 10, 5, 5, 0, 0.8, b"h" * 32, {"run": run_id})
        for n in range(1, features + 1)
    )
    copy_rows(session, LabelScore, columns, scores)


def step(what: str, url: str, path: Path) -> None:
    """Do one step in this process, and print how long it took and its peak."""
    use_settings(settings().model_copy(update={"data_dir": path.parent / "data"}))
    factory = sessions_for(url)
    begun = time.perf_counter()
    detail: dict[str, Any] = {}
    if what.startswith("export"):
        write = export_parquet if what == "export parquet" else export_neuronpedia
        with unit_of_work(factory) as session:
            steady(session)
            report = write(session, path)
        detail = {"megabytes": round(report.bytes / 1e6, 1)}
    elif what == "import parquet, verified":
        found = import_parquet(factory, path)
        detail = {"equal": found.equal, "differing": found.differing, "refused": found.refused}
    else:
        detail = {"refused": import_neuronpedia(factory, path).refused}
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = {"step": what, "seconds": round(seconds, 1), "peak_rss_mb": round(peak), **detail}
    sys.stdout.write(json.dumps(line) + "\n")


def measure(
    server: EmbeddedPostgres, folder: Path, features: int, examples: int, only: str
) -> None:
    """Build a dictionary, and take it out and in."""
    admin = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    names = {"source": f"source_{features}", "empty": f"empty_{features}", "np": f"np_{features}"}
    with admin.connect() as connection:
        for name in names.values():
            connection.execute(text(f"CREATE DATABASE {name}"))
    for name in ("empty", "np"):
        upgrade(server.url(names[name]))
    begun = time.perf_counter()
    build(server.url(names["source"]), features, examples)
    sys.stdout.write(f"{features:,} features built in {time.perf_counter() - begun:.0f} s\n")
    with unit_of_work(sessions_for(server.url(names["np"]))) as session:
        model = make_model(session)
        pieces = ((model.tokenizer_id, at, f" w{at:05d}".encode()) for at in range(5, VOCABULARY))
        copy_rows(session, TokenPiece, ("tokenizer_id", "token_id", "piece"), pieces)
        make_release(session, model=model, layers=[1], d_sae=features)
    for what, database, path in (
        ("export parquet", "source", f"dump{features}"),
        ("import parquet, verified", "empty", f"dump{features}"),
        ("export neuronpedia", "source", f"np{features}"),
        ("import neuronpedia", "np", f"np{features}"),
    ):
        if only not in what:
            continue
        command = [sys.executable, __file__, "--step", what]
        command += [server.url(names[database]), str(folder / path)]
        subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", default="8192,32768")
    parser.add_argument("--examples", type=int, default=40)
    parser.add_argument("--format", default="")
    parser.add_argument("--step", nargs=3)
    asked = parser.parse_args()
    if asked.step:
        what, url, path = asked.step
        step(what, url, Path(path))
        return
    with tempfile.TemporaryDirectory(prefix="scopebook-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data
        server = EmbeddedPostgres(folder / "server")
        server.start()
        try:
            for features in map(int, asked.features.split(",")):
                measure(server, folder, features, asked.examples, asked.format)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
