"""Whole batches through a tiny model: every rule of an SAE, and a GPU that is too small."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny_models import tiny_model
from tests.workers.sae.plain_collection import PlainContext, plain_evidence

from scopebook.errors import UnavailableError
from scopebook_workers.qwen.capture import capture_rows
from scopebook_workers.sae import collect as collect_module
from scopebook_workers.sae.candidates import Limits
from scopebook_workers.sae.collect import Collection, Layer
from scopebook_workers.sae.evidence import feature_evidence
from scopebook_workers.sae.firings import Contexts
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.weights import SparseAutoencoder

LIMITS = Limits(best=3, sample=5, left=4, right=2, draws=9)
LAYER = 2
D_SAE = 24
LENGTHS = [9, 14, 3, 1, 12, 7]


def sae_of(kind: str) -> SparseAutoencoder:
    """Return a random SAE that fires seldom, by each rule."""
    generator = torch.Generator().manual_seed(11)
    w_enc = torch.randn(D_SAE, 32, generator=generator)
    return SparseAutoencoder(
        w_enc=w_enc,
        b_enc=torch.full((D_SAE,), -3.0 if kind == "relu" else 0.0),
        w_dec=w_enc.clone(),
        b_dec=torch.zeros(32),
        k=2 if kind == "topk" else None,
        thresholds=torch.linspace(2, 6, D_SAE) if kind == "threshold" else None,
    )


def rows() -> list[np.ndarray]:
    dice = np.random.default_rng(3)
    return [dice.integers(2, 300, n).astype(np.int32) for n in LENGTHS]


def contexts() -> Contexts:
    ids = np.arange(50, 50 + len(LENGTHS))
    return Contexts(
        ids, ids, ids * 7, np.asarray(LENGTHS, dtype=np.int32), np.full(len(ids), -1, np.int32)
    )


def active_by_plain_rule(x: torch.Tensor, sae: SparseAutoencoder) -> dict[int, float]:
    """Return what one residual fires."""
    pre = (sae.w_enc @ x + sae.b_enc).tolist()
    if sae.k is not None:
        chosen = sorted(range(D_SAE), key=lambda f: (-pre[f], f))[: sae.k]
    elif sae.thresholds is not None:
        chosen = [f for f in range(D_SAE) if pre[f] > float(sae.thresholds[f])]
    else:
        chosen = list(range(D_SAE))
    return {f: pre[f] for f in chosen if pre[f] > 0}


def collected(sae: SparseAutoencoder, batches: Sequence[Sequence[int]]) -> FeatureState:
    state = FeatureState.empty(D_SAE, limits=LIMITS)
    collection = Collection(tiny_model(), {LAYER: Layer(sae, state)}, sink_factor=1e9)
    for batch in batches:
        collection.take(contexts(), rows(), batch)
    return state


@pytest.mark.parametrize("kind", ["topk", "threshold", "relu"])
def test_each_rule_finds_what_keeping_everything_finds(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopebook_workers.sae.threshold.MOST_ACTIVE", 1.0)
    sae, batch = sae_of(kind), [3, 2, 5, 0]

    found = feature_evidence(collected(sae, [batch]), [])

    captured = capture_rows(tiny_model(), [LAYER], rows(), batch)
    parts = captured.residuals[LAYER].split(captured.lengths)
    plain = []
    for row, part in sorted(zip(batch, parts, strict=True), key=lambda pair: pair[0]):
        activations = {
            (position, feature): np.float32(value)
            for position, x in enumerate(part)
            for feature, value in active_by_plain_rule(x, sae).items()
        }
        plain.append(
            PlainContext(50 + row, 7 * (50 + row), None, rows()[row].tolist(), activations)
        )
    wanted = plain_evidence(plain, D_SAE, LIMITS)
    assert sum(evidence.count for evidence in wanted) > 20
    for one, other in zip(found, wanted, strict=True):
        assert (one.count, one.contexts, one.flags) == (other.count, other.contexts, other.flags)
        assert one.max == pytest.approx(other.max, rel=1e-5)
        ids = one.examples.context_id.tolist()
        assert ids == [example.context for example in other.examples]


class SmallGpu:
    """Refuses batches of more tokens than it has memory for, as CUDA does."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.refused: list[int] = []

    def __call__(self, model: Any, layers: Any, token_ids: Any, batch: Sequence[int]) -> Any:
        tokens = sum(len(token_ids[row]) for row in batch)
        if tokens > self.tokens:
            self.refused.append(tokens)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return capture_rows(model, layers, token_ids, batch)


def test_a_batch_too_large_for_the_gpu_is_taken_in_halves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    by_halves = collected(sae_of("topk"), [[0, 1], [2, 4]])
    gpu = SmallGpu(30)
    monkeypatch.setattr(collect_module, "capture_rows", gpu)

    with caplog.at_level(logging.WARNING):
        state = collected(sae_of("topk"), [[0, 1, 2, 4]])

    assert gpu.refused == [38]
    assert "did not fit on the GPU" in caplog.text
    for name, value in by_halves.arrays().items():
        np.testing.assert_array_equal(state.arrays()[name], value)


def test_the_host_sorts_a_batch_once_the_model_is_at_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    def forward(*args: Any) -> Any:
        events.append("forward")
        return capture_rows(*args)

    settle = FeatureState.settle

    def watched(state: FeatureState) -> None:
        if state._arriving is not None:
            events.append("sort")
        settle(state)

    monkeypatch.setattr(collect_module, "capture_rows", forward)
    monkeypatch.setattr(FeatureState, "settle", watched)

    state = collected(sae_of("topk"), [[0, 1], [3], [2, 4]])
    assert events == ["forward", "forward", "sort", "forward", "sort"]

    assert 54 in state.candidates().context


def test_a_half_that_is_still_too_large_fails_with_a_sentence_and_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collect_module, "capture_rows", SmallGpu(5))
    state = FeatureState.empty(D_SAE, limits=LIMITS)
    collection = Collection(tiny_model(), {LAYER: Layer(sae_of("topk"), state)}, sink_factor=10.0)

    with pytest.raises(UnavailableError, match="memory ran out at a batch of 23 tokens; end other"):
        collection.take(contexts(), rows(), [0, 1, 2, 4])

    assert state.statistics.contexts == 0


def test_memory_that_runs_out_on_the_cpu_is_said_and_another_error_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(message: str) -> Any:
        def capture(*_: Any) -> Any:
            raise RuntimeError(message)

        return capture

    allocator = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
    monkeypatch.setattr(collect_module, "capture_rows", fails(allocator))
    with pytest.raises(UnavailableError, match="memory ran out at a batch of 9 tokens"):
        collected(sae_of("topk"), [[0]])

    monkeypatch.setattr(collect_module, "capture_rows", fails("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        collected(sae_of("topk"), [[0]])
