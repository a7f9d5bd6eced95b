"""Steer a model of TransformerLens by preset.safetensors, which lies beside this file.

    with steered(model):
        logits = model(tokens)

`model` is a TransformerBridge or HookedTransformer that was loaded WITHOUT folding or centring
weights (`no_processing`), which would change the residual stream that the vectors are made for.
"""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

from safetensors.torch import load_file

VECTORS = Path(__file__).with_name("preset.safetensors")


def add(residual, hook, vector):
    return residual + vector.to(residual.device, residual.dtype)


def hooks():
    """Return what `run_with_hooks(fwd_hooks=...)` takes: the output of each layer is changed."""
    return [
        (f"blocks.{name.removeprefix('layers.')}.hook_resid_post", partial(add, vector=vector))
        for name, vector in load_file(VECTORS).items()
    ]


@contextmanager
def steered(model):
    with model.hooks(fwd_hooks=hooks()):
        yield model
