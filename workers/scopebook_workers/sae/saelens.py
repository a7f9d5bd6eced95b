"""Read SAEs in SAELens's format: sae_weights.safetensors, as the cfg.json beside it says."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scopebook.errors import CheckpointError
from scopebook.saelens import SaeLensConfig
from scopebook_workers.sae.autoencoder import SparseAutoencoder
from scopebook_workers.sae.checkpoint import Checkpoint, check_values, file_sha256, fold
from scopebook_workers.sae.converted import ConvertedSae, write_converted

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
# Versions of SAELens before 5 wrote a factor for each feature even where none was trained.
_FACTORS = ("scaling_factor", "finetuning_scaling_factor")


def read_saelens(
    path: Path, config: SaeLensConfig, *, d_model: int | None = None
) -> SparseAutoencoder:
    """Return the SAE of a sae_weights.safetensors, in float32, with everything folded in.

    Raises CheckpointError, by name, for a file that is damaged or that its config does not fit,
    and for one that reads another width than `d_model`.
    """
    return fold(_open_saelens(path, config, d_model)).autoencoder()


def convert_saelens(
    path: Path,
    destination: Path,
    *,
    config: SaeLensConfig,
    d_model: int | None = None,
    licence: str = "unknown",
    sha256: str | None = None,
) -> ConvertedSae:
    """Write the SAE of a sae_weights.safetensors once, as `write_converted` does.

    With `sha256` (the hub states it) a source that differs is refused.
    """
    checkpoint = _open_saelens(path, config, d_model)
    identity = saelens_sha256(file_sha256(path, expected=sha256), config)
    return write_converted(
        checkpoint, destination, layer=config.layer, source_sha256=identity, licence=licence
    )


def saelens_sha256(weights_sha256: str, config: SaeLensConfig) -> str:
    """Return the hash that one SAE has: of its weights, and of how they are to be read."""
    return hashlib.sha256(f"{weights_sha256}\n{config.recipe}".encode()).hexdigest()


def _open_saelens(path: Path, config: SaeLensConfig, d_model: int | None) -> Checkpoint:
    """Return the tensors as they lie in the file, mapped and checked."""
    if d_model is not None and config.d_in != d_model:
        raise CheckpointError(
            f"{path} reads a residual stream of width {config.d_in} (its cfg.json says) but the "
            f"model's is {d_model}: give the model that the SAE was trained on."
        )
    tensors = _load(path)
    shapes = _expected_shapes(config, tensors)
    _check_names(path, config, tensors, shapes)
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise CheckpointError(
                f"{path}: {name} has the shape {tuple(tensors[name].shape)}, expected {shape} as "
                "its cfg.json says: fetch both again, from one place."
            )
        check_values(path, name, tensors[name], dtypes=_DTYPES)
    return Checkpoint(
        path,
        w_enc=tensors["W_enc"].T,
        b_enc=tensors["b_enc"],
        w_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        k=config.k,
        thresholds=_thresholds(config, tensors),
        subtracts_b_dec=config.subtracts_b_dec,
        scales_by_decoder_norm=config.scales_by_decoder_norm,
        input_scale=config.input_scale,
    )


def _load(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist: fetch it again.") from error
    except (OSError, SafetensorError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"{path} is cut off, damaged or no safetensors file: delete it and fetch it again."
        ) from error


def _expected_shapes(
    config: SaeLensConfig, tensors: dict[str, Tensor]
) -> dict[str, tuple[int, ...]]:
    d_in, d_sae = config.d_in, config.d_sae
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (d_in, d_sae),
        "b_enc": (d_sae,),
        "W_dec": (d_sae, d_in),
        "b_dec": (d_in,),
    }
    if config.kind == "threshold":
        # One number for all features, as batchtopk trains it, or one for each.
        one_for_all = config.architecture != "jumprelu" and "threshold" not in tensors
        shapes |= {"topk_threshold": ()} if one_for_all else {"threshold": (d_sae,)}
    return shapes


def _check_names(
    path: Path,
    config: SaeLensConfig,
    tensors: dict[str, Tensor],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    missing = [name for name in shapes if name not in tensors]
    if missing:
        raise CheckpointError(
            f"{path} has no tensor {missing[0]}: expected {', '.join(shapes)} for the "
            f"architecture {config.architecture}."
        )
    for name in sorted(tensors.keys() - shapes.keys()):
        if name not in _FACTORS or not bool((tensors[name] == 1).all()):
            raise CheckpointError(
                f"{path} has the tensor {name!r}, which an SAE of the architecture "
                f"{config.architecture} has not: expected only {', '.join(shapes)}."
            )


def _thresholds(config: SaeLensConfig, tensors: dict[str, Tensor]) -> Tensor | None:
    if config.kind != "threshold":
        return None
    if "threshold" in tensors:
        return tensors["threshold"]
    return tensors["topk_threshold"].expand(config.d_sae)
