"""Steer a model of transformers with pyvene by preset.safetensors, which lies beside this file.

steered = steerable(model)
_, answer = steered(base={"input_ids": token_ids}, unit_locations=None)
logits = answer.logits
"""

from pathlib import Path

import pyvene
import torch
from safetensors.torch import load_file

VECTORS = load_file(Path(__file__).with_name("preset.safetensors"))


class Add(pyvene.ConstantSourceIntervention):
    """Add one vector to every token."""

    def __init__(self, vector, **more):
        # Without keep_last_dim pyvene flattens all tokens into one row, and the vector's width
        # does not fit any more.
        super().__init__(**more, keep_last_dim=True)
        self.register_buffer("vector", vector)

    def forward(self, base, source=None, subspaces=None, **more):
        return base + self.vector.to(base.device, base.dtype)


def steerable(model):
    """Return the model with an intervention at the output of each layer."""
    width = model.config.get_text_config().hidden_size
    representations = [
        {
            "layer": int(name.removeprefix("layers.")),
            "component": "block_output",
            "low_rank_dimension": 1,
            "intervention": Add(vector, embed_dim=torch.tensor(width)),
        }
        for name, vector in VECTORS.items()
    ]
    return pyvene.IntervenableModel(pyvene.IntervenableConfig(representations), model=model)
