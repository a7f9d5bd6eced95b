import numpy as np
import torch

from scopebook_workers.qwen.capture import Captured
from scopebook_workers.sae.collect import Layer, find_sinks, fire, update
from scopebook_workers.sae.firings import Contexts
from scopebook_workers.sae.state import FeatureState
from scopebook_workers.sae.weights import SparseAutoencoder

#: Each unit vector fires the feature of its number.
IDENTITY = SparseAutoencoder(torch.eye(4), torch.zeros(4), torch.eye(4), torch.zeros(4), k=2)


def collect(resid: torch.Tensor, lengths: list[int], *, rows: list[int]) -> FeatureState:
    state = FeatureState.empty(4)
    ordered = [lengths[rows.index(row)] for row in range(len(rows))]
    contexts = Contexts(
        ids=np.arange(10, 10 + len(rows)),
        groups=np.arange(10, 10 + len(rows)),
        keys=np.arange(len(rows), dtype=np.int64),
        lengths=np.asarray(ordered, dtype=np.int32),
        tags=np.full(len(rows), -1, dtype=np.int32),
    )
    layers = {6: Layer(IDENTITY, state)}
    found = fire(layers, Captured(rows, lengths, {6: resid}), sink_factor=10.0)
    token_ids = [np.arange(length, dtype=np.int32) for length in ordered]
    update(layers, contexts, token_ids, rows, found)
    return state


def test_the_first_position_of_each_context_is_left_out() -> None:
    units = torch.eye(4)[[0, 1, 1, 0, 2]]

    statistics = collect(units, [3, 2], rows=[1, 0]).statistics

    assert statistics.count.tolist() == [0, 2, 1, 0]
    assert (statistics.tokens, statistics.contexts) == (3, 2)


def test_a_sink_is_masked_and_counted_but_not_at_the_first_position() -> None:
    units = torch.eye(4)[[0, 1, 2, 1, 1, 1]]
    units[0] *= 50
    units[2] *= 50

    statistics = collect(units, [6], rows=[0]).statistics

    assert statistics.count.tolist() == [0, 4, 0, 0]
    assert (statistics.tokens, statistics.sinks) == (4, 1)


def test_firings_of_a_batch_go_to_the_context_they_belong_to() -> None:
    units = torch.eye(4)[[0, 1, 1, 0, 2]]

    kept = collect(units, [3, 2], rows=[1, 0]).candidates()

    found = list(zip(kept.feature.tolist(), kept.context.tolist(), kept.peak.tolist(), strict=True))
    assert found == [(1, 11, 1), (2, 10, 1)]


def test_sinks_are_measured_against_their_own_context() -> None:
    norms = [1.0, 1.0, 10.5, 1.0, 20.0, 20.0, 20.0, 3.0, 31.0]
    resid = torch.tensor(norms)[:, None] * torch.tensor([[0.6, 0.8]])

    sinks = find_sinks(resid, [4, 3, 2], 10.0)

    # Of the last two the lower is the median: 31 > 10 * 3.
    assert sinks.tolist() == [False, False, True, False, False, False, False, False, True]
