"""Read a control vector of llama.cpp or repeng, and hold it as SAEs of one feature each.

The feature's direction is the vector, and its encoder never fires: so a vector can be steered with,
kept in presets and exported as a feature can, and nothing is said of when it is there.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from gguf import GGUFReader
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from scopebook.errors import CheckpointError
from scopebook.saelens import CONFIG_FILE, WEIGHTS_FILE

_NAMED: Final = "direction."
#: Larger numbers are no layers.
_MOST_LAYERS: Final = 1_000
#: What the encoder says of every token: less than 0, so that it never fires.
_SILENT: Final = -1.0


def read_control_vector(path: Path) -> dict[int, Float[Tensor, " d_model"]]:
    """Return the vectors of a GGUF file by layer: its tensors `direction.{layer}`.

    Raises CheckpointError for a file that is none, and for vectors that are no finite numbers or
    of several widths.
    """
    try:
        reader: Any = GGUFReader(path)
        named = [one for one in reader.tensors if one.name.startswith(_NAMED)]
        found = {_layer(path, one.name): torch.tensor(one.data).float() for one in named}
    except (OSError, ValueError, KeyError, IndexError, OverflowError, struct.error) as error:
        raise CheckpointError(
            f"{path} is no GGUF file that can be read ({type(error).__name__}); give a control "
            "vector as repeng and llama.cpp write it."
        ) from error
    if not found:
        raise CheckpointError(
            f"{path} has no tensor {_NAMED}N; give a control vector as repeng and llama.cpp write "
            "it."
        )
    widths = {tuple(vector.shape) for vector in found.values()}
    finite = all(vector.isfinite().all() for vector in found.values())
    if len(widths) > 1 or len(next(iter(widths))) != 1 or not finite:
        raise CheckpointError(
            f"{path} holds tensors of the shapes {sorted(widths)}; expected one vector of finite "
            "numbers for each layer, all of the model's width."
        )
    return dict(sorted(found.items()))


def _layer(path: Path, name: str) -> int:
    number = name.removeprefix(_NAMED)
    if not number.isdecimal() or int(number) >= _MOST_LAYERS:
        raise CheckpointError(
            f"{path} has the tensor {name[:60]!r}; expected {_NAMED}N with the number of a layer: "
            "several parts of one layer must be summed."
        )
    return int(number)


def write_as_saes(
    vectors: Mapping[int, Float[Tensor, " d_model"]], folder: Path, model_name: str | None
) -> None:
    """Write each layer's vector as an SAE of one feature, in SAELens's format."""
    for layer, vector in vectors.items():
        place = folder / f"layer_{layer}"
        place.mkdir(parents=True, exist_ok=True)
        config = {
            "architecture": "standard",
            "d_in": len(vector),
            "d_sae": 1,
            "dtype": "float32",
            "apply_b_dec_to_input": False,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {
                "model_name": model_name,
                "hook_name": f"blocks.{layer}.hook_resid_post",
                "hook_head_index": None,
            },
        }
        (place / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
        tensors = {
            "W_enc": torch.zeros(len(vector), 1),
            "b_enc": torch.full((1,), _SILENT),
            "W_dec": vector[None].contiguous(),
            "b_dec": torch.zeros(len(vector)),
        }
        save_file(tensors, place / WEIGHTS_FILE)
