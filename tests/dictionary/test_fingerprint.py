"""The fingerprint: what was found, and nothing of how it is stored."""

import dataclasses
import json
import time
from typing import Any

import numpy as np
import pytest
import zstandard
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from makers import (
    feature_id,
    make_corpus,
    make_evidence,
    make_examples,
    make_model,
    make_release,
    make_run,
)
from scopebook import packing
from scopebook.db.tables import Context, Evidence, Run, Sae
from scopebook.errors import NotFoundError
from scopebook.fingerprint import KNOWN_COLUMNS, fingerprint
from scopebook.packing import ExampleSet, pack_counts, pack_examples, unpack_counts, unpack_examples

RELEASE = "SAE-Res-Tiny-Model-W1K-L0_8"


@pytest.fixture
def collected(session: Session) -> list[Sae]:
    """A release of two layers over four contexts, with evidence of two features of each."""
    saes = make_release(session)
    documents = make_corpus(session, ["the cat", "the dog", "der Hund", "die Katze"])
    run = make_run(session, saes, documents)
    ids = context_ids(session, run)
    for sae in saes:
        make_evidence(session, run, sae, 0, examples=make_examples(ids[:2]))
        make_evidence(session, run, sae, 1, examples=make_examples(ids[2:]), largest=5.0)
    return saes


def context_ids(session: Session, run: Run) -> list[int]:
    return list(
        session.scalars(
            select(Context.id)
            .where(Context.tokenisation_id == run.tokenisation_id)
            .order_by(Context.id)
        )
    )


def set_columns(session: Session, sae: Sae, index: int, **values: Any) -> None:
    session.execute(
        update(Evidence).where(Evidence.feature_id == feature_id(sae, index)).values(**values)
    )


def examples_of(session: Session, sae: Sae, index: int) -> ExampleSet:
    packed = session.scalars(
        select(Evidence.examples).where(Evidence.feature_id == feature_id(sae, index))
    ).one()
    return unpack_examples(packed)


def test_every_column_of_the_evidence_is_known_to_the_fingerprint() -> None:
    columns = {column.name for column in Evidence.__table__.columns}

    assert columns <= KNOWN_COLUMNS, "say in scopebook.fingerprint how the new column is read"


def test_the_same_collection_has_the_same_fingerprint(
    session: Session, collected: list[Sae]
) -> None:
    first, second = fingerprint(session, RELEASE), fingerprint(session, RELEASE)

    assert first == second
    assert sorted(first.layers) == [1, 2]
    assert first.runs == [collected[0].current_run_id]


@pytest.mark.parametrize(
    "change",
    [
        {"count": 6},
        {"density": 0.010000000000000002},
        {"mean": 1.5},
        {"flags": ["dense"]},
        {"tags": [["zh", 0.9, 4.000000000000001]]},
        {"tags": []},
        {"top_tokens": packing.pack_pairs([2], [0.8])},
        {"top_tokens": packing.pack_pairs([1], [0.7])},
        {"histogram": pack_counts(np.zeros(packing.BINS, dtype=np.int64))},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_changed_statistic_changes_its_layer_alone(
    session: Session, collected: list[Sae], change: dict[str, Any]
) -> None:
    before = fingerprint(session, RELEASE)

    set_columns(session, collected[0], 1, **change)

    after = fingerprint(session, RELEASE)
    assert after.layers[1] != before.layers[1]
    assert after.layers[2] == before.layers[2]
    assert after.fingerprint != before.fingerprint


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ExampleSet)])
def test_a_changed_example_changes_the_fingerprint(
    session: Session, collected: list[Sae], name: str
) -> None:
    before = fingerprint(session, RELEASE)
    examples = examples_of(session, collected[0], 0)
    values = getattr(examples, name).copy()
    place = 1 if name == "offsets" else 0
    values[place] = values[1] if name == "context_id" else values[place] + 1
    changed = dataclasses.replace(examples, **{name: values})

    set_columns(session, collected[0], 0, examples=pack_examples(changed))

    assert fingerprint(session, RELEASE).layers[1] != before.layers[1]


def test_a_feature_that_is_missing_changes_the_fingerprint(
    session: Session, collected: list[Sae]
) -> None:
    before = fingerprint(session, RELEASE)

    session.query(Evidence).filter_by(feature_id=feature_id(collected[0], 1)).delete()

    assert fingerprint(session, RELEASE).layers[1] != before.layers[1]


def test_how_blobs_are_compressed_does_not_count(session: Session, collected: list[Sae]) -> None:
    before = fingerprint(session, RELEASE)
    for sae in collected:
        for index in range(2):
            row = session.get_one(Evidence, (sae.current_run_id, feature_id(sae, index)))
            tighter = zstandard.ZstdCompressor(level=19, write_checksum=True)
            raw = zstandard.ZstdDecompressor().decompress(row.examples[1:])
            counts = unpack_counts(row.histogram).tobytes()
            row.examples = row.examples[:1] + tighter.compress(raw)
            row.histogram = row.histogram[:1] + tighter.compress(counts)
    session.flush()

    assert fingerprint(session, RELEASE) == before


def test_chosen_layers_have_the_hashes_they_have_in_all(
    session: Session, collected: list[Sae]
) -> None:
    whole, one = fingerprint(session, RELEASE), fingerprint(session, RELEASE, [2])

    assert one.layers == {2: whole.layers[2]}
    assert one.fingerprint != whole.fingerprint


def test_a_layer_that_was_never_collected_is_named(session: Session, collected: list[Sae]) -> None:
    collected[1].current_run_id = None
    session.flush()

    with pytest.raises(
        NotFoundError, match=r"^Layer 2 of .* was never collected, .*--layers 2`\.$"
    ):
        fingerprint(session, RELEASE, [1, 2])
    assert sorted(fingerprint(session, RELEASE).layers) == [1]


def test_a_release_without_any_collection_is_refused(session: Session) -> None:
    make_release(session)

    with pytest.raises(NotFoundError, match="never collected"):
        fingerprint(session, RELEASE)


def test_a_wide_layer_is_read_in_seconds_and_little_memory(session: Session) -> None:
    """A quarter of a 32K SAE, each feature with 80 examples of 12 active tokens."""
    width, shown = 8192, 80
    [sae] = make_release(session, layers=[1], d_sae=width, model=make_model(session))
    documents = make_corpus(session, [f"text {i}" for i in range(2000)])
    run = make_run(session, [sae], documents)
    ids = np.asarray(context_ids(session, run))
    random = np.random.default_rng(0)
    packed = [many_examples(random.choice(ids, shown, replace=False)) for _ in range(64)]
    row = make_evidence(session, run, sae, 0, examples=make_examples(ids[:1].tolist()))
    session.flush()
    columns = {
        column.name: getattr(row, column.name)
        for column in Evidence.__table__.columns
        if column.name not in ("feature_id", "examples")
    }
    session.execute(
        insert(Evidence),
        [
            {**columns, "feature_id": feature_id(sae, i), "examples": packed[i % 64]}
            for i in range(1, width)
        ],
    )

    begun = time.process_time()
    taken = fingerprint(session, RELEASE)

    assert len(taken.layers[1]) == 64
    assert time.process_time() - begun < 12


def many_examples(ids: Any) -> bytes:
    examples = make_examples(ids.tolist())
    n, active = len(ids), 12
    return pack_examples(
        dataclasses.replace(
            examples,
            offsets=np.arange(n + 1, dtype=np.int32) * active,
            positions=np.tile(np.arange(active, dtype=np.int32), n),
            shares=np.ones(n * active, dtype=np.float16),
        )
    )


def test_the_document_of_a_fingerprint_is_plain(session: Session, collected: list[Sae]) -> None:
    taken = json.loads(json.dumps(dataclasses.asdict(fingerprint(session, RELEASE))))

    assert sorted(taken) == ["fingerprint", "layers", "release", "runs"]
    assert sorted(taken["layers"]) == ["1", "2"]
