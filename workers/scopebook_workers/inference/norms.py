"""How long the residual is after a layer, on average over texts."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from scopebook.runs import RunParameters
from scopebook_workers.qwen.capture import capture
from scopebook_workers.sae.collect import find_sinks


def measure_norms(
    model: PreTrainedModel, layers: Sequence[int], texts: Sequence[NDArray[np.int32]]
) -> dict[int, float]:
    """Return the mean norm of each layer's residual, without first tokens and sinks."""
    totals = {layer: [0.0, 0] for layer in layers}
    parameters = RunParameters()
    for captured in capture(model, layers, texts, batch_tokens=parameters.batch_tokens):
        starts = torch.tensor([0, *captured.lengths[:-1]]).cumsum(0)
        for layer, residual in captured.residuals.items():
            counts = ~find_sinks(residual, captured.lengths, parameters.sink_factor)
            counts[starts.to(counts.device)] = False
            norms = residual[counts].float().norm(dim=-1)
            totals[layer][0] += float(norms.double().sum())
            totals[layer][1] += len(norms)
    return {layer: total / tokens for layer, (total, tokens) in totals.items() if tokens}
