"""Build a dictionary of the size of a whole release by COPY, from a seed.

24 layers of 32,768 features with labels, senses, scores, examples and vectors. What is measured of
features (densities, flags, scores) is drawn at random in the shapes that real ones have.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from benchmarks.search.evidence import example_pool
from benchmarks.search.progress import Progress
from benchmarks.search.texts import LabelMaker, Labels
from benchmarks.search.vectors import write_vectors
from numpy.typing import NDArray
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from scopebook.bulk import copy_rows
from scopebook.corpora import add_corpus
from scopebook.db.label_tables import Label, Labeling, LabelOutcome, LabelScore, Sense
from scopebook.db.sessions import sessions, unit_of_work
from scopebook.db.tables import (
    FEATURE_BITS,
    Evidence,
    Feature,
    Model,
    Release,
    Run,
    Sae,
    Tokenizer,
)
from scopebook.demo import bundle_path
from scopebook.entries import refresh_saes
from scopebook.jobs import TOKENISE_CORPUS
from scopebook.packing import BINS, pack_counts, pack_pairs
from scopebook.runs import request_collection
from scopebook_workers.claims import work_off

RELEASE: Final = "SAE-Res-Bench-W32K-L0_50"
_SOURCES: Final = ("keywords", "llm", "person")
_SOURCE_SHARES: Final = (0.40, 0.55, 0.05)
_AUTHORS: Final = ("ada", "ben", "chen", "dora")
_TAGS: Final = ("English", "Chinese", "Python", "C", "Bible")


@dataclass(frozen=True)
class Size:
    """How large a dictionary is made."""

    layers: int = 24
    width: int = 32_768


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is drawn for an SAE's features, `(width,)` each."""

    density: NDArray[np.float64]
    largest: NDArray[np.float64]
    source: NDArray[np.int64]
    labelled: NDArray[np.bool_]
    senses: NDArray[np.int64]


def build(
    size: Size, maker: LabelMaker, embedder_id: int, progress: Progress, *, seed: int = 0
) -> None:
    """Fill the settings' empty database; indexes of vectors are not built yet."""
    run_id, sae_ids = _prepare(size)
    pool = example_pool(np.random.default_rng(seed))
    progress.done("texts")
    labels = 0
    for layer, sae_id in enumerate(sae_ids):
        dice = np.random.default_rng((seed, layer))
        drawn = _draw(dice, size.width)
        labels += _fill_layer(
            sae_id, run_id, drawn, maker, dice, pool, progress, embedder_id, labels
        )
        progress.say(f"layer {layer + 1} of {size.layers}: {labels:,} labels")
    _tidy(progress)


def _prepare(size: Size) -> tuple[int, list[int]]:
    bundle = bundle_path()
    with unit_of_work(sessions()) as session:
        tokenizer = Tokenizer(sha256="b" * 64, path=str(next((bundle / "models").iterdir())))
        session.add(tokenizer)
        session.flush()
        model = Model(
            name="Bench-Model", path="/nowhere", layers=28, d_model=1024, tokenizer_id=tokenizer.id
        )
        session.add(model)
        session.flush()
        release = Release(
            name=RELEASE,
            model_id=model.id,
            set_name="res-w32k-l0_50",
            width=size.width,
            k=50,
            source="/nowhere",
        )
        session.add(release)
        session.flush()
        saes = [
            Sae(
                release_id=release.id,
                layer=layer,
                d_sae=size.width,
                k=50,
                sha256=f"{layer:064d}",
                artifact="/nowhere",
            )
            for layer in range(size.layers)
        ]
        session.add_all(saes)
        add_corpus(session, "demo", next((bundle / "corpus").glob("*.jsonl")))
        job = request_collection(session, RELEASE, "demo", label=False)
        run_id = session.scalars(select(Run.id).where(Run.job_id == job.id)).one()
        ids = [sae.id for sae in saes]
    work_off(TOKENISE_CORPUS)
    with unit_of_work(sessions()) as session:
        session.execute(text("UPDATE sae SET current_run_id = :run"), {"run": run_id})
        session.execute(
            text(
                "UPDATE run SET finished_at = now(), tokens_seen = 100000000,"
                " contexts_seen = 400000"
            )
        )
    return run_id, ids


def _draw(dice: np.random.Generator, width: int) -> Drawn:
    return Drawn(
        density=np.minimum(10 ** dice.normal(-3.5, 1.0, width), 0.9),
        largest=dice.lognormal(1.5, 0.8, width),
        source=dice.choice(3, width, p=_SOURCE_SHARES),
        labelled=dice.random(width) < 0.95,
        senses=np.where(dice.random(width) < 0.3, dice.integers(2, 4, width), 0),
    )


def _fill_layer(
    sae_id: int,
    run_id: int,
    drawn: Drawn,
    maker: LabelMaker,
    dice: np.random.Generator,
    pool: Sequence[bytes],
    progress: Progress,
    embedder_id: int,
    before: int,
) -> int:
    """Write everything of one SAE in one transaction; return how many labels it has."""
    with unit_of_work(sessions()) as session:
        _write_features(session, sae_id, drawn, dice)
        _write_evidence(session, sae_id, run_id, drawn, dice, pool)
        progress.done("features and evidence")
        rows = _label_rows(sae_id, drawn)
        labels = maker.make(dice, len(rows))
        progress.done("making labels")
        labelings = _labelings(session, sae_id, run_id)
        _write_senses(session, rows, labelings["keywords"])
        _write_outcomes(session, sae_id, drawn, labelings)
        _write_labels(session, rows, labels, labelings, before)
        _write_scores(session, rows, dice, before)
        progress.done("labels, senses and scores")
        current = np.asarray([row.current for row in rows])
        ids = np.arange(1, len(rows) + 1) + before
        write_vectors(session, ids[current], sae_id, labels.vectors[current], embedder_id)
        progress.done("vectors")
        refresh_saes(session, [sae_id])
        progress.done("entries")
    return len(rows)


def _write_features(session: Session, sae_id: int, drawn: Drawn, dice: np.random.Generator) -> None:
    width = len(drawn.density)
    promoted = pack_pairs(list(range(10)), np.linspace(3, 1, 10).tolist())
    near = dice.integers(0, width, (width, 10))
    cosines = np.linspace(0.8, 0.3, 10).tolist()
    copy_rows(
        session,
        Feature,
        ("id", "sae_id", "index", "decoder_norm", "promoted", "suppressed", "neighbours"),
        (
            (
                (sae_id << FEATURE_BITS) | index,
                *(sae_id, index, 1.0, promoted, promoted),
                pack_pairs(near[index].tolist(), cosines),
            )
            for index in range(width)
        ),
    )


def _write_evidence(
    session: Session,
    sae_id: int,
    run_id: int,
    drawn: Drawn,
    dice: np.random.Generator,
    pool: Sequence[bytes],
) -> None:
    histogram = pack_counts(dice.integers(0, 1_000, BINS))
    tokens = pack_pairs([1, 2, 3], [0.5, 0.2, 0.1])
    chosen = dice.integers(0, len(pool), len(drawn.density)).tolist()
    token_bound = dice.random(len(drawn.density)) < 0.04

    def row(index: int) -> tuple[Any, ...]:
        density, largest = float(drawn.density[index]), float(drawn.largest[index])
        flags = ["dense"] if density > 0.1 else []
        flags += ["token"] if token_bound[index] else []
        return (
            *(run_id, (sae_id << FEATURE_BITS) | index, int(density * 1e8), int(density * 4e5)),
            *(density, largest / 3, largest, flags, histogram, tokens),
            [[_TAGS[index % 5], 0.6, 3.0]],
            pool[chosen[index]],
        )

    columns = ("run_id", "feature_id", "count", "contexts", "density", "mean", "max", "flags")
    columns = (*columns, "histogram", "top_tokens", "tags", "examples")
    copy_rows(session, Evidence, columns, map(row, range(len(drawn.density))))


@dataclass(frozen=True)
class _Row:
    """A label to be: of which feature and sense, by whom, and whether it is in force."""

    feature_id: int
    sae_id: int
    source: str
    ordinal: int | None
    share: float
    current: bool


def _label_rows(sae_id: int, drawn: Drawn) -> list[_Row]:
    return list(_each_label(sae_id, drawn))


def _each_label(sae_id: int, drawn: Drawn) -> Iterator[_Row]:
    for index in np.flatnonzero(drawn.labelled).tolist():
        feature_id = (sae_id << FEATURE_BITS) | index
        source = _SOURCES[drawn.source[index]]
        yield _Row(feature_id, sae_id, source, None, 1.0, True)
        if source != "keywords":
            yield _Row(feature_id, sae_id, "keywords", None, 1.0, False)
        senses = int(drawn.senses[index])
        for ordinal in range(senses):
            yield _Row(feature_id, sae_id, "keywords", ordinal, 1 / senses, True)


def _labelings(session: Session, sae_id: int, run_id: int) -> dict[str, int]:
    labelings = [
        Labeling(
            sae_id=sae_id,
            run_id=run_id,
            source=source,
            method=f"bench-{source}",
            parameters={},
            sha256=source.ljust(64, "0"),
            finished_at=datetime.now(UTC),
        )
        for source in ("keywords", "llm")
    ]
    session.add_all(labelings)
    session.flush()
    return {labeling.source: labeling.id for labeling in labelings}


def _write_senses(session: Session, rows: Sequence[_Row], labeling_id: int) -> None:
    columns = ("feature_id", "labeling_id", "ordinal", "share", "keywords", "members")
    copy_rows(
        session,
        Sense,
        columns,
        (
            (row.feature_id, labeling_id, row.ordinal, row.share, ["a", "b"], [0, 1, 2])
            for row in rows
            if row.ordinal is not None
        ),
    )


def _write_outcomes(session: Session, sae_id: int, drawn: Drawn, labelings: dict[str, int]) -> None:
    first = sae_id << FEATURE_BITS
    columns = ("labeling_id", "feature_id", "status", "example_set")
    indices = np.flatnonzero(drawn.labelled).tolist()
    by_llm = [index for index in indices if _SOURCES[drawn.source[index]] == "llm"]
    refused = [index for index in indices if _SOURCES[drawn.source[index]] == "keywords"][::20]
    outcomes = [
        *((labelings["keywords"], first | index, "ok", b"") for index in indices),
        *((labelings["llm"], first | index, "ok", b"") for index in by_llm),
        *((labelings["llm"], first | index, "suspect", b"") for index in refused),
    ]
    copy_rows(session, LabelOutcome, columns, outcomes)


def _write_labels(
    session: Session,
    rows: Sequence[_Row],
    labels: Labels,
    labelings: dict[str, int],
    before: int,
) -> None:
    senses = {
        (row.feature_id, row.ordinal): row.id
        for row in session.execute(
            select(Sense.id, Sense.feature_id, Sense.ordinal).where(
                Sense.labeling_id == labelings["keywords"]
            )
        )
    }
    columns = ("id", "feature_id", "sae_id", "labeling_id", "sense_id", "text", "kind")
    columns = (*columns, "source", "method", "author", "n_examples", "share", "current")
    copy_rows(
        session,
        Label,
        columns,
        (
            (
                *(before + place, row.feature_id, row.sae_id, labelings.get(row.source)),
                senses.get((row.feature_id, row.ordinal)),
                *(words, "topic", row.source, f"bench-{row.source}"),
                _AUTHORS[place % len(_AUTHORS)] if row.source == "person" else None,
                *(20, row.share, row.current),
            )
            for place, (row, words) in enumerate(zip(rows, labels.texts, strict=True), start=1)
        ),
    )


def _write_scores(
    session: Session, rows: Sequence[_Row], dice: np.random.Generator, before: int
) -> None:
    values = dice.beta(8, 3, len(rows))
    columns = ("label_id", "scorer", "scorer_version", "judge", "n_pos", "n_neg_random")
    columns = (*columns, "n_neg_hard", "n_failed", "value", "null_value", "held_out_sha256")
    copy_rows(
        session,
        LabelScore,
        columns,
        (
            (
                *(before + place, "detection", "detection-1", "judge", 20, 10, 10, 0),
                *(float(values[place - 1]), 0.5, b"h"),
            )
            for place, row in enumerate(rows, start=1)
            if row.current and row.source == "llm"
        ),
    )


def _tidy(progress: Progress) -> None:
    with unit_of_work(sessions()) as session:
        session.execute(text("SELECT setval('label_id_seq', (SELECT max(id) FROM label))"))
    vacuum(progress)


def vacuum(progress: Progress) -> None:
    """Do what autovacuum does a minute later; indexes answer without their tables after it."""
    engine = sessions().kw["bind"]
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    progress.done("vacuum and analyze")
