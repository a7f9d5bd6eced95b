"""Write tiny releases in Qwen-Scope's file format: real names and keys, few dimensions."""

from pathlib import Path

import torch
from torch import Tensor

CARD = """---
license: other
license_name: qwen
license_link: LICENSE
---

# SAE-Res of a tiny model

Four tensors per layer.

## Caution

Do not use these tools to interfere with model capabilities or to spread harmful information.

## Citation

None.
"""


def qwen_scope_entries(d_sae: int, d_model: int, *, seed: int = 0) -> dict[str, Tensor]:
    """Return what one `layer{n}.sae.pt` holds."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "W_enc": torch.randn(d_sae, d_model, generator=generator),
        "b_enc": torch.randn(d_sae, generator=generator) / 10,
        "W_dec": torch.randn(d_model, d_sae, generator=generator),
        "b_dec": torch.randn(d_model, generator=generator) / 10,
    }


def write_layer(path: Path, d_sae: int, d_model: int, *, seed: int = 0) -> Path:
    """Write one layer's SAE."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(qwen_scope_entries(d_sae, d_model, seed=seed), path)
    return path


def write_release(folder: Path, layers: list[int], d_sae: int, d_model: int) -> Path:
    """Write a release's folder: its layers, its card and its licence."""
    for layer in layers:
        write_layer(folder / f"layer{layer}.sae.pt", d_sae, d_model, seed=layer)
    (folder / "README.md").write_text(CARD)
    (folder / "LICENSE").write_text("The licence of a tiny release.\n")
    return folder
