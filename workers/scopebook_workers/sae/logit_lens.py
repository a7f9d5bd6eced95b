"""Say what a feature's direction does on its own: tokens, length, nearest directions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from scopebook_workers.sae.topk import SCRATCH_BYTES, stable_topk


@dataclass(frozen=True)
class LogitLens:
    """Per feature the tokens its direction promotes most and suppresses most, extremes first."""

    promoted: Int64[Tensor, "feature n"]
    promoted_logits: Float[Tensor, "feature n"]
    suppressed: Int64[Tensor, "feature n"]
    suppressed_logits: Float[Tensor, "feature n"]


@torch.no_grad()
def logit_lens(
    directions: Float[Tensor, "feature d_model"],
    final_norm: Callable[[Tensor], Tensor],
    unembedding: Float[Tensor, "vocab d_model"],
    *,
    n: int = 10,
    scratch_bytes: int = SCRATCH_BYTES,
) -> LogitLens:
    """Return the n largest and n smallest of final_norm(w / |w|) @ W_U.T per row w of W_dec.

    `final_norm` is the model's own module, so that its weight (Qwen3: g, Qwen3.5: 1 + g) and its
    epsilon are the model's; for RMSNorm that is u / sqrt(mean(u^2) + eps) * weight with u the unit
    direction. Logits are in float32 and comparable between features of one SAE, not between
    models. Ties go to the lower token id. Give only the rows of W_U that the tokenizer knows: the
    padding rows behind them were never trained.

    The logits are made in tiles of at most `scratch_bytes`; never (feature, vocab) at once.
    """
    normed = _normed(directions, final_norm, scratch_bytes)
    tokens = max(1, min(len(unembedding), scratch_bytes // (4 * unembedding.shape[1])))
    rows = max(1, scratch_bytes // (4 * tokens))
    promoted = suppressed = _no_tokens(normed)
    for first in range(0, len(unembedding), tokens):
        # Cast once and used for all features; a cast of the whole would double the memory of
        # the largest matrix in the model.
        block = unembedding[first : first + tokens].float()
        tops, bottoms = [], []
        for start in range(0, len(normed), rows):
            logits = normed[start : start + rows] @ block.T  # (row, token)
            tops.append(stable_topk(logits, min(n, len(block))))
            bottoms.append(stable_topk(logits.neg_(), min(n, len(block))))
        promoted = promoted.merged(tops, first, n)
        suppressed = suppressed.merged(bottoms, first, n)
    return LogitLens(promoted.ids, promoted.scores, suppressed.ids, -suppressed.scores)


def decoder_norms(directions: Float[Tensor, "feature d_model"]) -> Float[Tensor, " feature"]:
    """Return the length |w| of each direction, in float32."""
    norms: Tensor = torch.linalg.vector_norm(directions, dim=-1, dtype=torch.float32)
    return norms


@torch.no_grad()
def nearest_directions(
    directions: Float[Tensor, "feature d_model"],
    *,
    n: int = 10,
    scratch_bytes: int = SCRATCH_BYTES,
) -> tuple[Int64[Tensor, "feature n"], Float[Tensor, "feature n"]]:
    """Return each feature's n nearest others by cosine w·v / (|w| |v|), nearest first, and these.

    Ties go to the lower index; a direction of length 0 has the cosine 0 to all. Fewer than n come
    back where the SAE has no n others. The cosines are made in blocks of at most `scratch_bytes`.
    """
    others = min(n, len(directions) - 1)
    weights = directions.float()
    lengths = decoder_norms(weights).clamp_min(_TINY)
    neighbours = torch.empty(len(weights), others, dtype=torch.int64, device=weights.device)
    cosines = torch.empty(len(weights), others, device=weights.device)
    if not others:
        return neighbours, cosines
    rows = max(1, scratch_bytes // (4 * len(weights)))
    for start in range(0, len(weights), rows):
        part = slice(start, start + rows)
        block = weights[part] @ weights.T  # (row, feature)
        block.div_(lengths[part, None]).div_(lengths)
        itself = torch.arange(len(block), device=weights.device)
        block[itself, itself + start] = -torch.inf
        cosines[part], neighbours[part] = stable_topk(block, others)
    return neighbours, cosines.clamp_(-1, 1)


_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class _BestTokens:
    """The best tokens of each feature in the part of the vocabulary seen so far."""

    ids: Int64[Tensor, "feature n"]
    scores: Float[Tensor, "feature n"]

    def merged(self, found: list[tuple[Tensor, Tensor]], first: int, n: int) -> "_BestTokens":
        """Add what the next block held; its token ids are counted from `first`."""
        scores = torch.cat([self.scores, torch.cat([scores for scores, _ in found])], dim=-1)
        ids = torch.cat([self.ids, torch.cat([ids for _, ids in found]) + first], dim=-1)
        kept, at = stable_topk(scores, min(n, scores.shape[1]))
        return _BestTokens(ids.gather(1, at), kept)


def _no_tokens(normed: Float[Tensor, "feature d_model"]) -> _BestTokens:
    empty = torch.empty(len(normed), 0, device=normed.device)
    return _BestTokens(empty.long(), empty)


def _normed(
    directions: Float[Tensor, "feature d_model"],
    final_norm: Callable[[Tensor], Tensor],
    scratch_bytes: int,
) -> Float[Tensor, "feature d_model"]:
    """Return final_norm(w / |w|) in float32; a direction of length 0 stays 0."""
    lengths = decoder_norms(directions).clamp_min(_TINY)
    normed = torch.empty(directions.shape, device=directions.device)
    rows = max(1, scratch_bytes // (4 * directions.shape[1]))
    for start in range(0, len(directions), rows):
        part = slice(start, start + rows)
        normed[part] = final_norm(directions[part].float() / lengths[part, None]).float()
    return normed
