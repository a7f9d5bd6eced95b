import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import func, select, update
from tests.tiny_collections import (
    D_SAE,
    LAYERS,
    SMALL,
    TEXTS,
    Tiny,
    ask_for_collection,
    do_all_steps,
    evidence_of,
    make_tiny,
)
from tests.tiny_models import FAMILIES
from tests.workers.sae.plain_collection import PlainContext, PlainEvidence, plain_evidence

from scopebook.db.jobs import Job, Step
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context, Document, Evidence, Feature, Run, Sae, Shard
from scopebook.jobs import COLLECT_SHARD, MERGE_SAE, PLAN_RUN, TOKENISE_CORPUS
from scopebook.packing import unpack_counts, unpack_examples, unpack_ints, unpack_pairs
from scopebook.settings import settings, use_settings
from scopebook_workers.claims import work_off
from scopebook_workers.qwen.capture import capture
from scopebook_workers.qwen.model import load_model
from scopebook_workers.sae.candidates import Limits
from scopebook_workers.sae.encode import encode
from scopebook_workers.sae.weights import read_converted

SINK_FACTOR = 1.2


def read_contexts(sessions: Sessions) -> Iterator[PlainContext]:
    with sessions() as session:
        for context, document in session.execute(
            select(Context, Document)
            .join(Document, Document.id == Context.document_id)
            .order_by(Document.ordinal, Context.ordinal)
        ):
            key = (int.from_bytes(document.sha256[:8]) + context.ordinal) % 2**64
            signed = key - 2**64 if key >= 2**63 else key
            tokens = unpack_ints(context.tokens).tolist()
            yield PlainContext(context.id, signed, document.tag, tokens, {}, near=context.near_id)


def blocks_of(contexts: list[PlainContext]) -> Iterator[list[PlainContext]]:
    block: list[PlainContext] = []
    for context in contexts:
        block.append(context)
        if sum(len(member.tokens) for member in block) >= SMALL["block_tokens"]:
            yield block
            block = []
    if block:
        yield block


def fill_in(contexts: list[PlainContext], tiny: Tiny, layer: int) -> None:
    """Write down every activation and every sink of each context."""
    model = load_model(tiny.model_path, torch.device("cpu"))
    sae = read_converted(tiny.sae_paths[layer])
    for block in blocks_of(contexts):
        rows = [np.asarray(context.tokens, dtype=np.int32) for context in block]
        for batch in capture(model, LAYERS, rows, batch_tokens=SMALL["batch_tokens"]):
            resid = batch.residuals[layer]
            values, features = (one.tolist() for one in encode(resid, sae))
            norms = resid.norm(dim=-1).tolist()
            for row in batch.rows:
                length = len(block[row].tokens)
                note(block[row], values[:length], features[:length], norms[:length])
                values, features, norms = values[length:], features[length:], norms[length:]


def note(
    context: PlainContext, values: list[list[float]], features: list[list[int]], norms: list[float]
) -> None:
    middle = sorted(norms)[(len(norms) - 1) // 2]
    context.sinks = frozenset(
        p for p, norm in enumerate(norms) if p > 0 and norm > SINK_FACTOR * middle
    )
    for position, (row, names) in enumerate(zip(values, features, strict=True)):
        for value, feature in zip(row, names, strict=True):
            if value > 0:
                context.activations[position, feature] = np.float32(value)


def stored(sessions: Sessions, run_id: int, layer: int) -> list[Evidence]:
    with sessions() as session:
        sae = session.scalars(select(Sae).where(Sae.layer == layer)).one()
        return list(
            session.scalars(
                select(Evidence)
                .join(Feature, Feature.id == Evidence.feature_id)
                .where(Evidence.run_id == run_id, Feature.sae_id == sae.id)
                .order_by(Evidence.feature_id)
            )
        )


def assert_agrees(row: Evidence, plain: PlainEvidence) -> None:
    assert (row.count, row.contexts, row.flags) == (plain.count, plain.contexts, plain.flags)
    assert (row.density, row.mean, row.max) == (plain.density, plain.mean, plain.max)
    assert unpack_counts(row.histogram).tolist() == plain.histogram
    assert row.top_tokens_exact == plain.top_tokens_exact
    assert (row.first_context_id, row.last_context_id) == (
        plain.first_context_id,
        plain.last_context_id,
    )
    assert unpack_pairs(row.top_tokens) == [
        (token, float(np.float32(share))) for token, share in plain.top_tokens
    ]
    assert row.tags == [list(tag) for tag in plain.tags]
    examples = unpack_examples(row.examples)
    assert examples.context_id.tolist() == [example.context for example in plain.examples]
    for name in ("kind", "activation", "peak", "start", "end"):
        expected = [getattr(example, name) for example in plain.examples]
        assert getattr(examples, name).tolist() == expected
    for place, example in enumerate(plain.examples):
        part = slice(examples.offsets[place], examples.offsets[place + 1])
        active = zip(examples.positions[part], examples.shares[part], strict=True)
        assert list(active) == example.active


@pytest.mark.parametrize("family", FAMILIES)
def test_a_collection_finds_what_keeping_everything_finds(
    worker: Sessions, tmp_path: Path, family: str
) -> None:
    tiny = make_tiny(worker, tmp_path, family=family)
    run_id = ask_for_collection(worker, sink_factor=SINK_FACTOR)

    do_all_steps()

    limits = Limits(**{name: SMALL[name] for name in ("best", "sample", "left", "right", "draws")})
    for layer in LAYERS:
        contexts = list(read_contexts(worker))
        fill_in(contexts, tiny, layer)
        rows = stored(worker, run_id, layer)
        for row, plain in zip(rows, plain_evidence(contexts, D_SAE, limits), strict=True):
            assert_agrees(row, plain)
        with worker() as session:
            run = session.get_one(Run, run_id)
        assert run.parameters["sinks"][str(layer)] == sum(len(c.sinks) for c in contexts) > 0
        assert run.contexts_seen == len(contexts)
        assert run.tokens_seen == sum(len(context.tokens) - 1 for context in contexts)


def collect_in_shards(sessions: Sessions, shard_tokens: int, *, shuffled: bool = False) -> int:
    use_settings(settings().model_copy(update={"shard_tokens": shard_tokens}))
    run_id = ask_for_collection(sessions)
    for kind in (TOKENISE_CORPUS, PLAN_RUN, COLLECT_SHARD):
        work_off(kind)
    if shuffled:
        shuffle_shards(sessions, run_id)
    work_off(MERGE_SAE)
    return run_id


def shuffle_shards(sessions: Sessions, run_id: int) -> None:
    with sessions.begin() as session:
        shards = list(session.scalars(select(Shard).where(Shard.run_id == run_id)))
        places = list(range(len(shards)))
        random.Random(1).shuffle(places)
        for place, shard in zip(places, shards, strict=True):
            session.execute(update(Shard).where(Shard.id == shard.id).values(ordinal=1000 + place))


def shards_of(sessions: Sessions, run_id: int) -> int:
    with sessions() as session:
        return session.scalars(
            select(func.count()).select_from(Shard).where(Shard.run_id == run_id)
        ).one()


def test_one_shard_or_many_in_any_order_give_the_same_bytes(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)

    whole = collect_in_shards(worker, 10_000)
    cut = collect_in_shards(worker, 1)
    shuffled = collect_in_shards(worker, 60, shuffled=True)

    assert shards_of(worker, whole) == 1
    assert shards_of(worker, cut) > shards_of(worker, shuffled) > 2
    assert evidence_of(worker, whole) == evidence_of(worker, cut)
    assert evidence_of(worker, whole) == evidence_of(worker, shuffled)


def test_contexts_follow_the_documents_and_cover_all_their_tokens(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)

    do_all_steps()

    with worker() as session:
        rows = session.execute(
            select(Document.ordinal, Context.ordinal, Document.text, Context.spans)
            .join(Document, Document.id == Context.document_id)
            .order_by(Context.id)
        ).all()
    assert [(a, b) for a, b, _, _ in rows] == sorted((a, b) for a, b, _, _ in rows)
    for ordinal, (text, _) in enumerate(TEXTS):
        spans = [unpack_ints(s).reshape(-1, 2) for number, _, _, s in rows if number == ordinal]
        covered = {c for part in spans for start, end in part for c in range(start, end)}
        assert covered == set(range(len(text)))
        assert all(len(part) == 16 for part in spans[:-1])


def test_a_corpus_is_tokenised_once_for_two_runs(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    do_all_steps()
    with worker() as session:
        before = list(session.scalars(select(Context.id).order_by(Context.id)))

    ask_for_collection(worker)
    do_all_steps()

    with worker() as session:
        assert list(session.scalars(select(Context.id).order_by(Context.id))) == before
        assert set(session.scalars(select(Job.state))) == {"done"}


def test_max_tokens_stops_before_the_context_that_would_exceed_it(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    run_id = ask_for_collection(worker, max_tokens=60)

    do_all_steps()

    with worker() as session:
        lengths = list(session.scalars(select(Context.n_tokens).order_by(Context.id)))
        run = session.get_one(Run, run_id)
    taken = run.contexts_seen or 0
    assert sum(lengths[:taken]) <= 60 < sum(lengths[: taken + 1])


def test_the_saes_show_the_newest_run(worker: Sessions, tmp_path: Path) -> None:
    make_tiny(worker, tmp_path)

    runs = [ask_for_collection(worker) for _ in range(2)]
    do_all_steps()

    with worker() as session:
        assert set(session.scalars(select(Sae.current_run_id))) == {max(runs)}


def test_a_run_that_is_retried_after_a_newer_one_does_not_push_it_aside(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    older, newer = (ask_for_collection(worker) for _ in range(2))
    with unit_of_work(worker) as session:
        job_id = session.get_one(Run, older).job_id
        session.execute(update(Step).where(Step.job_id == job_id).values(state="failed"))
    do_all_steps()

    with unit_of_work(worker) as session:
        session.execute(update(Step).where(Step.job_id == job_id).values(state="queued"))
        session.execute(update(Job).where(Job.id == job_id).values(state="queued"))
    do_all_steps()

    with worker() as session:
        assert session.get_one(Run, older).finished_at is not None
        assert set(session.scalars(select(Sae.current_run_id))) == {newer}


def job_error(sessions: Sessions) -> str:
    with sessions() as session:
        return session.scalars(select(Job.error)).one() or ""


def test_a_corpus_without_tokens_fails_the_job_with_a_sentence(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path, [("", None)])
    ask_for_collection(worker)

    do_all_steps()

    assert job_error(worker) == (
        "The corpus 'tiny' holds no whole context; add text or raise the limit."
    )


def test_a_model_that_went_missing_fails_the_job_with_a_sentence(
    worker: Sessions, tmp_path: Path
) -> None:
    tiny = make_tiny(worker, tmp_path)
    ask_for_collection(worker)
    work_off(TOKENISE_CORPUS)
    work_off(PLAN_RUN)
    (tiny.model_path / "config.json").unlink()

    work_off(COLLECT_SHARD)

    assert "is not a model: it holds no config.json" in job_error(worker)
    with worker() as session:
        assert session.scalars(select(Evidence.feature_id)).all() == []


def test_a_shard_that_cannot_be_written_fails_loudly_and_leaves_nothing(
    worker: Sessions, tmp_path: Path
) -> None:
    make_tiny(worker, tmp_path)
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    ask_for_collection(worker)

    do_all_steps()

    assert "could not be written to" in job_error(worker)
    with worker() as session:
        assert set(session.scalars(select(Shard.artifact))) == {None}
        assert "done" not in set(session.scalars(select(Step.state).where(Step.kind == MERGE_SAE)))
