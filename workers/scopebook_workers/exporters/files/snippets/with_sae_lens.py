"""Steer a model of SAELens (HookedSAETransformer) by preset.safetensors, beside this file.

    with steered(model):
        logits = model(tokens)
        text = model.generate(tokens, max_new_tokens=50)

The vectors are already sums of the SAEs' decoder rows: no SAE is loaded. Every token is steered,
those that come one at a time from a cache too: a hook that leaves out runs of a single token, as
some tutorials have it, steers nothing that is written.
"""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

from safetensors.torch import load_file

VECTORS = Path(__file__).with_name("preset.safetensors")


def add(residual, hook, vector):
    return residual + vector.to(residual.device, residual.dtype)


@contextmanager
def steered(model):
    hooks = [
        (f"blocks.{name.removeprefix('layers.')}.hook_resid_post", partial(add, vector=vector))
        for name, vector in load_file(VECTORS).items()
    ]
    with model.hooks(fwd_hooks=hooks):
        yield model
