"""An SAE as its file holds it: what all formats share, and folding it into one matrix product."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from scopebook.errors import CheckpointError
from scopebook.saelens import SaeKind
from scopebook_workers.sae.autoencoder import SparseAutoencoder

_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, mapped and checked, in the layout of `SparseAutoencoder`.

    The matrices may be views of what is stored the other way round, in the dtype of the file. The
    encoder reads `x * input_scale`, less `b_dec` if `subtracts_b_dec`; its pre-activations are
    multiplied by the norms of `w_dec`'s rows if `scales_by_decoder_norm`.
    """

    path: Path
    w_enc: Float[Tensor, "d_sae d_model"]
    b_enc: Float[Tensor, " d_sae"]
    w_dec: Float[Tensor, "d_sae d_model"]
    b_dec: Float[Tensor, " d_model"]
    k: int | None = None
    thresholds: Float[Tensor, " d_sae"] | None = None
    subtracts_b_dec: bool = False
    scales_by_decoder_norm: bool = False
    input_scale: float = 1.0

    @property
    def kind(self) -> SaeKind:
        """The rule that says which features are active."""
        if self.k is not None:
            return "topk"
        return "relu" if self.thresholds is None else "threshold"

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to fold."""
        return not (self.subtracts_b_dec or self.scales_by_decoder_norm or self.input_scale != 1)


@dataclass(frozen=True)
class Folded:
    """A checkpoint whose pre-activations are `x @ w_enc.T + b_enc`, handed out in blocks.

    A feature's scales are what its rows are multiplied by; None leaves them as they are.
    """

    checkpoint: Checkpoint
    b_enc: Float[Tensor, " d_sae"]
    b_dec: Float[Tensor, " d_model"]
    encoder_scale: Float64[Tensor, " d_sae"] | None = None
    decoder_scale: Float64[Tensor, " d_sae"] | None = None

    def w_enc(self) -> Iterator[Float[Tensor, "rows d_model"]]:
        """Yield W_enc in float32, some features at a time."""
        return self._scaled("W_enc", self.checkpoint.w_enc, self.encoder_scale)

    def w_dec(self) -> Iterator[Float[Tensor, "rows d_model"]]:
        """Yield W_dec in float32, some features at a time."""
        return self._scaled("W_dec", self.checkpoint.w_dec, self.decoder_scale)

    def _scaled(
        self, name: str, matrix: Float[Tensor, "d_sae d_model"], scale: Tensor | None
    ) -> Iterator[Float[Tensor, "rows d_model"]]:
        for rows in row_spans(matrix):
            block = matrix[rows]
            if scale is None:
                yield block.float()
            else:
                yield _as_float32(self.checkpoint.path, name, block.double() * scale[rows, None])

    def autoencoder(self) -> SparseAutoencoder:
        """Return the SAE in memory."""
        thresholds = self.checkpoint.thresholds
        return SparseAutoencoder(
            w_enc=torch.cat(list(self.w_enc())),
            b_enc=self.b_enc,
            w_dec=torch.cat(list(self.w_dec())),
            b_dec=self.b_dec,
            k=self.checkpoint.k,
            thresholds=None if thresholds is None else thresholds.float().contiguous(),
        )


def fold(checkpoint: Checkpoint) -> Folded:
    """Bring the encoder to one matrix product, computing in float64.

    With s the input scale and n the decoder norms after it: W_enc <- s n W_enc, b_enc <- n b_enc,
    W_dec <- W_dec / (s n), b_dec <- b_dec / s, and at last b_enc <- b_enc - W_enc b_dec. A feature
    whose direction is zero never fires once it is scaled by its norm.
    """
    if checkpoint.is_plain:
        return Folded(
            checkpoint,
            checkpoint.b_enc.float().contiguous(),
            checkpoint.b_dec.float().contiguous(),
        )
    b_enc, b_dec = checkpoint.b_enc.double(), checkpoint.b_dec.double() / checkpoint.input_scale
    encoder_scale = torch.full_like(b_enc, checkpoint.input_scale)
    decoder_scale = torch.full_like(b_enc, 1 / checkpoint.input_scale)
    if checkpoint.scales_by_decoder_norm:
        norms = torch.cat(
            [checkpoint.w_dec[rows].double().norm(dim=1) for rows in row_spans(checkpoint.w_dec)]
        )
        norms /= checkpoint.input_scale
        b_enc = b_enc * norms
        encoder_scale *= norms
        decoder_scale = torch.where(norms > 0, decoder_scale / norms, 0.0)
    if checkpoint.subtracts_b_dec:
        read = [checkpoint.w_enc[rows].double() @ b_dec for rows in row_spans(checkpoint.w_enc)]
        b_enc = b_enc - encoder_scale * torch.cat(read)
    return Folded(
        checkpoint,
        _as_float32(checkpoint.path, "b_enc", b_enc),
        _as_float32(checkpoint.path, "b_dec", b_dec),
        encoder_scale,
        decoder_scale,
    )


def row_spans(tensor: Tensor) -> Iterator[slice]:
    """Cut along the first axis so that a float32 copy of a block stays small."""
    rows = max(1, _BLOCK_BYTES // max(1, 4 * tensor[0].numel()))
    for start in range(0, tensor.shape[0], rows):
        yield slice(start, start + rows)


def check_values(path: Path, name: str, tensor: Tensor, *, dtypes: tuple[torch.dtype, ...]) -> None:
    """Refuse numbers of another type, and those that are not finite in float32."""
    if tensor.dtype not in dtypes or tensor.layout != torch.strided:
        expected = [str(dtype).removeprefix("torch.") for dtype in dtypes]
        raise CheckpointError(
            f"{path}: {name} is stored as {tensor.dtype} {tensor.layout}, expected dense "
            f"{', '.join(expected[:-1])} or {expected[-1]}."
        )
    if tensor.ndim == 0:
        tensor = tensor[None]
    if not all(bool(tensor[rows].float().isfinite().all()) for rows in row_spans(tensor)):
        raise CheckpointError(
            f"{path}: {name} holds NaN or infinity: the file is damaged, fetch it again."
        )


def file_sha256(path: Path, *, expected: str | None = None) -> str:
    """Return the SHA-256 of a file of any size, in hex; one that is not as expected is refused."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        raise CheckpointError(
            f"{path} was damaged on its way: its SHA-256 is {found}, expected {expected}; "
            "delete the file and fetch it again."
        )
    return found


def _as_float32(path: Path, name: str, tensor: Float64[Tensor, "..."]) -> Float[Tensor, "..."]:
    single = tensor.float()
    if not bool(single.isfinite().all()):
        raise CheckpointError(
            f"{path}: {name} is too large for float32 once the SAE's scales are folded in: check "
            "the scales in its cfg.json and the norms of W_dec."
        )
    return single
