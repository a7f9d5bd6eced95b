"""SAEs on disk and in memory: one door to the readers of each format."""

from scopebook_workers.sae.autoencoder import (
    SparseAutoencoder,
    check_against_model,
    check_layer,
)
from scopebook_workers.sae.checkpoint import file_sha256
from scopebook_workers.sae.converted import (
    CONVERTED_FORMAT,
    ConvertedSae,
    converted_sae,
    read_converted,
)
from scopebook_workers.sae.qwen_scope import convert, read_qwen_scope
from scopebook_workers.sae.saelens import convert_saelens, read_saelens, saelens_sha256

__all__ = [
    "CONVERTED_FORMAT",
    "ConvertedSae",
    "SparseAutoencoder",
    "check_against_model",
    "check_layer",
    "convert",
    "convert_saelens",
    "converted_sae",
    "file_sha256",
    "read_converted",
    "read_qwen_scope",
    "read_saelens",
    "saelens_sha256",
]
