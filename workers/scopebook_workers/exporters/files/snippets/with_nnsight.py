"""Steer a model of nnsight by preset.safetensors, which lies beside this file.

    from nnsight import LanguageModel
    model = LanguageModel("MODEL", device_map="auto", dispatch=True)
    with model.trace("The house stands"):
        steer(model)
        logits = model.lm_head.output.save()

While generating, steer in every step: `with model.generate(text, max_new_tokens=50) as tracer:`
and in it `with tracer.all(): steer(model)`.
"""

from pathlib import Path

from safetensors.torch import load_file

VECTORS = load_file(Path(__file__).with_name("preset.safetensors"))
#: In the order in which a run reaches the layers: nnsight waits for a value that has passed.
LAYERS = sorted(int(name.removeprefix("layers.")) for name in VECTORS)


def steer(model):
    """Change the output of each layer; call inside of a trace."""
    for number in LAYERS:
        layer = model.model.layers[number]
        output = layer.output
        # Some versions of transformers return a tuple from a layer, others the tensor itself.
        hidden = output[0] if isinstance(output, tuple) else output
        vector = VECTORS[f"layers.{number}"].to(hidden.device, hidden.dtype)
        steered = hidden + vector
        layer.output = (steered, *output[1:]) if isinstance(output, tuple) else steered
