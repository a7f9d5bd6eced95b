import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tests.workers.sae.plain_collection import PlainContext, PlainEvidence, plain_evidence

from scopebook_workers.sae import state as state_module
from scopebook_workers.sae.candidates import Limits
from scopebook_workers.sae.encode import Active
from scopebook_workers.sae.evidence import FeatureEvidence, feature_evidence
from scopebook_workers.sae.firings import Contexts, make_batch
from scopebook_workers.sae.lots import draw_lots
from scopebook_workers.sae.state import FeatureState

TAGS = ["de", "py", "zh"]
LIMITS = Limits(best=4, sample=6, left=5, right=3, draws=12)
D_SAE = 9


def make_context(number: int, *, seed: int, length: int | None = None) -> PlainContext:
    """Return a context with many ties; feature 0 always fires, 1 at position 2, 8 never."""
    dice = random.Random(seed * 1000 + number)
    length = dice.choice([1, 2, 12, 25]) if length is None else length
    tokens = [dice.randrange(5) for _ in range(length)]
    activations: dict[tuple[int, int], np.float32] = {}
    for position in range(length):
        activations[position, 0] = np.float32(0.5)
        if position == 2:
            activations[position, 1] = np.float32(dice.choice([1, 2]))
        for feature in range(2, 8):
            if dice.random() < 0.04 * feature:
                activations[position, feature] = np.float32(dice.choice([1, 1, 2.5, 40, 1e-3]))
        if tokens[position] == 3:
            activations[position, 7] = np.float32(300)
    sinks = frozenset({5}) if length > 5 and dice.random() < 0.2 else frozenset()
    tag = dice.choice([None, *TAGS])
    near = 100 + 3 * (number - number % 5) if number % 5 and dice.random() < 0.3 else None
    key = dice.getrandbits(64) - 2**63
    return PlainContext(100 + 3 * number, key, tag, tokens, activations, sinks, near)


def collect(contexts: Sequence[PlainContext], *, block: int = 3) -> FeatureState:
    state = FeatureState.empty(D_SAE, tags=len(TAGS), limits=LIMITS)
    for start in range(0, len(contexts), block):
        add_block(state, contexts[start : start + block])
    return state


def add_block(state: FeatureState, contexts: Sequence[PlainContext]) -> None:
    columns = Contexts(
        ids=np.asarray([context.id for context in contexts], dtype=np.int64),
        groups=np.asarray([context.group for context in contexts], dtype=np.int64),
        keys=np.asarray([context.key for context in contexts], dtype=np.int64),
        lengths=np.asarray([len(context.tokens) for context in contexts], dtype=np.int32),
        tags=np.asarray(
            [-1 if c.tag is None else TAGS.index(c.tag) for c in contexts], dtype=np.int32
        ),
    )
    token_ids = [np.asarray(context.tokens, dtype=np.int32) for context in contexts]
    batch = make_batch(columns, token_ids, torch.device("cpu"))
    begins = np.cumsum([0, *columns.lengths]).tolist()
    rows = sorted(
        (begins[place] + position, feature, value)
        for place, context in enumerate(contexts)
        for (position, feature), value in context.activations.items()
    )
    token, feature, value = list(zip(*rows, strict=True)) or [()] * 3
    active = Active(
        torch.tensor(token, dtype=torch.int64),
        torch.tensor(feature, dtype=torch.int64),
        torch.tensor([float(one) for one in value], dtype=torch.float32),
    )
    sinks = torch.tensor(
        [p in context.sinks for context in contexts for p in range(len(context.tokens))]
    )
    state.update(batch, active, usable=(batch.position > 0) & ~sinks, sinks=sinks)


def assert_agrees(found: FeatureEvidence, plain: PlainEvidence) -> None:
    for name in (
        "count",
        "contexts",
        "flags",
        "first_context_id",
        "last_context_id",
        "top_tokens",
        "top_tokens_exact",
        "tags",
    ):
        assert getattr(found, name) == getattr(plain, name), name
    assert (found.density, found.mean, found.max) == (plain.density, plain.mean, plain.max)
    assert found.histogram.tolist() == plain.histogram
    examples = found.examples
    assert examples.context_id.tolist() == [e.context for e in plain.examples]
    for name in ("kind", "activation", "peak", "start", "end"):
        assert getattr(examples, name).tolist() == [getattr(e, name) for e in plain.examples]
    assert_array_equal(examples.quantile, np.float32([e.quantile for e in plain.examples]))
    for place, example in enumerate(plain.examples):
        part = slice(examples.offsets[place], examples.offsets[place + 1])
        active = zip(examples.positions[part], examples.shares[part], strict=True)
        assert list(active) == example.active


@pytest.mark.parametrize("seed", range(4))
def test_evidence_equals_that_of_keeping_everything(seed: int) -> None:
    contexts = [make_context(number, seed=seed) for number in range(40)]

    found = list(feature_evidence(collect(contexts), TAGS))

    for one, plain in zip(found, plain_evidence(contexts, D_SAE, LIMITS), strict=True):
        assert_agrees(one, plain)


def test_dropping_early_what_cannot_enter_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = [make_context(number, seed=9) for number in range(60)]
    at_the_end = collect(contexts).arrays()
    monkeypatch.setattr(state_module, "_POOL", 0)

    after_each_block = collect(contexts).arrays()

    assert_same(after_each_block, at_the_end)


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert_array_equal(one[name], other[name], err_msg=name)
        assert one[name].dtype == other[name].dtype, name


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 30), max_size=6), shuffle=st.randoms(use_true_random=False))
def test_the_cut_and_the_order_of_merging_do_not_matter(
    cuts: list[int], shuffle: random.Random
) -> None:
    contexts = [make_context(number, seed=5) for number in range(30)]
    borders = [0, *sorted(cuts), len(contexts)]
    shards = [collect(contexts[start:end], block=4) for start, end in pairwise(borders)]
    shuffle.shuffle(shards)

    merged = FeatureState.empty(D_SAE, tags=len(TAGS), limits=LIMITS)
    for shard in shards:
        merged.merge(FeatureState.from_arrays(shard.arrays(), limits=LIMITS))

    assert_same(merged.arrays(), collect(contexts).arrays())


def test_contexts_without_firings_are_counted_all_the_same() -> None:
    silent = PlainContext(7, 1, "de", [1, 2, 3], {})

    state = collect([silent, silent])

    assert (state.statistics.contexts, state.statistics.tokens) == (2, 4)
    assert {tuple(one.flags) for one in feature_evidence(state, TAGS)} == {("dead",)}


def test_a_sample_is_drawn_evenly_over_contexts() -> None:
    keys = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 20_000))
    first_half = [
        int((draw_lots(torch.full((20_000,), feature), keys).argsort()[:60] < 10_000).sum())
        for feature in range(100)
    ]

    assert min(first_half) + 10 > 25
    assert abs(np.mean(first_half) - 30) < 2


def test_among_the_best_is_one_of_contexts_that_repeat_each_other() -> None:
    contexts = [
        PlainContext(number, number, None, [0, 1], {(1, 4): np.float32(9 - number)}, near=near)
        for number, near in enumerate([None, 0, 0, None, 3, None, None])
    ]

    evidence = list(feature_evidence(collect(contexts, block=2), TAGS))[4]

    kinds = dict(
        zip(evidence.examples.context_id.tolist(), evidence.examples.kind.tolist(), strict=True)
    )
    assert [context for context, kind in kinds.items() if kind == 0] == [0, 3, 5, 6]


def test_memory_depends_on_the_number_of_features_and_not_of_contexts() -> None:
    once = collect([make_context(number, seed=1, length=12) for number in range(300)])
    twice = collect([make_context(number, seed=1, length=12) for number in range(600)])

    assert sum(twice.nbytes) < 1.1 * sum(once.nbytes)


def test_a_kept_example_takes_64_bytes_at_most_where_few_tokens_fire() -> None:
    state = collect([make_context(number, seed=1, length=25) for number in range(100)])

    kept = state.candidates()
    few = kept.take(np.flatnonzero(kept.active <= 6))
    assert len(few) > 50
    assert few.nbytes <= 64 * len(few)
