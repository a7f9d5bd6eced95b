"""Let a model go on with a text unsteered and steered, side by side, a token of each at a time.

All variants are rows of one batch, padded on the left, which share a cache that is theirs alone: it
holds what their steering did, and ends with them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from scopebook.errors import InvalidInputError
from scopebook.steering import Positions
from scopebook_workers.inference.prompts import Prompt
from scopebook_workers.inference.residents import Resident
from scopebook_workers.inference.running import telling_of_memory
from scopebook_workers.inference.writing import Sampling, draw, ends, extended, show
from scopebook_workers.qwen.steer import real_positions, steered
from scopebook_workers.sae.edits import Edit, LayerEdits
from scopebook_workers.sae.weights import SparseAutoencoder

#: Tokens that could have come instead, shown beside each.
ALTERNATIVES: Final = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """A prompt, and what is edited while the model reads it and goes on; nothing: unsteered."""

    prompt: Prompt
    #: By layer. Variants that are steered edit the same features by the same operations.
    edits: Mapping[int, Sequence[Edit]] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenToken:
    """A token that the model has written, and what it might have written."""

    id: int
    probability: float
    #: The likeliest, the first of them first: token and probability.
    alternatives: list[tuple[int, float]]


class SteeredWriting:
    """Variants that grow side by side."""

    def __init__(
        self,
        resident: Resident,
        saes: Mapping[int, SparseAutoencoder],
        variants: Sequence[Variant],
        *,
        positions: Positions,
        sampling: Sampling,
    ) -> None:
        """Begin; every variant draws from the same seed."""
        self.resident = resident
        self.variants = len(variants)
        self._prompts = [variant.prompt for variant in variants]
        self._sampling = sampling
        self._positions = positions
        self._layers = _layers(saes, variants)
        self._is_steered = torch.tensor([bool(variant.edits) for variant in variants])
        self._token_ids, self._real = _padded([one.prompt.token_ids for one in variants])
        self._cache: Any = None
        self._draws = [torch.Generator().manual_seed(sampling.seed) for _ in variants]
        #: What each variant has written by now.
        self.written: list[list[WrittenToken]] = [[] for _ in variants]

    @property
    def ended(self) -> bool:
        """Whether no variant goes on."""
        return all(map(self._has_ended, self.written))

    def _has_ended(self, written: Sequence[WrittenToken]) -> bool:
        if not written:
            return False
        return len(written) >= self._sampling.tokens or written[-1].id in ends(self.resident.model)

    def shown(self) -> list[list[tuple[str, float]]]:
        """Return what each variant has written: the text of each token, and how likely it was."""
        return [
            list(
                zip(
                    show(self.resident, [one.id for one in row], ended=self._has_ended(row)),
                    [one.probability for one in row],
                    strict=True,
                )
            )
            for row in self.written
        ]

    def whole(self) -> list[Prompt]:
        """Return each variant's prompt with what is written after it."""
        return [
            extended(self.resident, prompt, [one.id for one in row])
            for prompt, row in zip(self._prompts, self.written, strict=True)
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Write one more token of each variant that has not ended."""
        model: Any = self.resident.model
        if self._cache is None:
            self._cache = DynamicCache(config=model.config.get_text_config())
            fresh, where = self._token_ids, self._in_prompt()
        else:
            # A variant that has ended goes on unread.
            last = [written[-1].id for written in self.written]
            fresh = torch.tensor(last)[:, None]
            where = (self._is_steered & self._positions.written)[:, None] & self._counts(fresh)
            self._real = torch.cat([self._real, torch.ones_like(fresh, dtype=torch.bool)], dim=1)
        with (
            telling_of_memory(),
            steered(model, self._layers) as steering,
            steering.at(where),
        ):
            answer = model(
                input_ids=fresh.to(model.device),
                attention_mask=self._real.to(model.device, torch.int64),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self._take(answer.logits[:, -1].float().cpu())

    def _in_prompt(self) -> Tensor:
        where = self._is_steered[:, None] & self._real & self._counts(self._token_ids)
        if self._positions.prompt == "none":
            where[:] = False
        elif self._positions.prompt == "last":
            where[:, :-1] = False
        return where

    def _counts(self, token_ids: Tensor) -> Tensor:
        """Tell which tokens may be steered."""
        if self._positions.special:
            return torch.ones_like(token_ids, dtype=torch.bool)
        return ~torch.isin(token_ids, torch.tensor(sorted(self.resident.special)))

    def _take(self, logits: Tensor) -> None:
        # A padded vocabulary has places that are no token.
        logits = logits[:, : len(self.resident.pieces)]
        if not logits.isfinite().all():
            raise InvalidInputError(
                "The model's numbers are no longer finite when it is steered so; give smaller "
                "values or strengths."
            )
        likely = logits.softmax(-1)
        for row, written in enumerate(self.written):
            if self._has_ended(written):
                continue
            best = likely[row].topk(min(ALTERNATIVES, logits.shape[1]))
            token = draw(logits[row], self._sampling.temperature, self._draws[row])
            written.append(
                WrittenToken(
                    token,
                    float(likely[row, token]),
                    list(zip(best.indices.tolist(), best.values.tolist(), strict=True)),
                )
            )


def _layers(
    saes: Mapping[int, SparseAutoencoder], variants: Sequence[Variant]
) -> dict[int, LayerEdits]:
    """Return the edits of each layer, a row for each variant; unsteered ones are never changed."""
    [*steered_ones] = [variant.edits for variant in variants if variant.edits]
    layers = sorted({layer for edits in steered_ones for layer in edits})
    return {
        layer: LayerEdits(
            saes[layer],
            [(one.edits or steered_ones[0]).get(layer, ()) for one in variants],
        )
        for layer in layers
    }


def _padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return token ids and which are real, padded on the left."""
    lengths = [len(row) for row in rows]
    real = real_positions(lengths, max(lengths))
    token_ids = torch.zeros(real.shape, dtype=torch.int64)
    token_ids[real] = torch.from_numpy(np.concatenate(rows).astype(np.int64))
    return token_ids, real


class Measuring:
    """How far variants move the model on texts that it is not about, a text at a time.

    That is the mean over all tokens of KL(unsteered || steered) of the next token, in nats; the
    edits act on every token. One text at a time: over a large vocabulary, what is told of a
    token takes a megabyte, and others wait for their turns.
    """

    def __init__(
        self,
        written: SteeredWriting,
        variants: Sequence[Mapping[int, LayerEdits]],
        token_ids: Sequence[np.ndarray],
    ) -> None:
        """Begin with nothing measured."""
        self._written = written
        self._variants = variants
        self._left = list(token_ids)
        self._tokens = 0
        self._totals = [0.0] * len(variants)

    @property
    def ended(self) -> bool:
        """Whether all texts are measured."""
        return not self._left

    @property
    def variants(self) -> int:
        """How many texts were written."""
        return self._written.variants

    @property
    def found(self) -> list[float | None]:
        """The divergence of each variant; None where there was no text."""
        return [total / self._tokens if self._tokens else None for total in self._totals]

    def shown(self) -> list[list[tuple[str, float]]]:
        """Return what each variant has written."""
        return self._written.shown()

    def step(self) -> None:
        """Measure all variants on one more text."""
        token_ids = self._left.pop()
        found = _diverged(self._written.resident, self._variants, token_ids)
        self._totals = [total + more for total, more in zip(self._totals, found, strict=True)]
        self._tokens += len(token_ids)


@torch.no_grad()
def _diverged(
    resident: Resident, variants: Sequence[Mapping[int, LayerEdits]], token_ids: np.ndarray
) -> list[float]:
    """Return for each variant the sum over a text's tokens of KL(unsteered || steered)."""
    model: Any = resident.model
    rows = torch.from_numpy(token_ids.astype(np.int64))[None]
    inputs = {"input_ids": rows.to(model.device), "use_cache": False}
    everywhere = torch.ones_like(rows, dtype=torch.bool)
    found = []
    with telling_of_memory():
        before = model(**inputs).logits[0].float().log_softmax(-1)
        for layers in variants:
            with steered(model, layers) as steering, steering.at(everywhere):
                after = model(**inputs).logits[0].float().log_softmax(-1)
            found.append(float((before.exp() * (before - after)).sum(-1).double().sum()))
    return found


def divergences(
    resident: Resident,
    saes: Mapping[int, SparseAutoencoder],
    variants: Sequence[Mapping[int, Sequence[Edit]]],
    texts: Sequence[np.ndarray],
    told: Callable[[], None],
) -> list[float]:
    """Return how far each variant moves the model on texts, as `Measuring` does; 0: no text.

    `told` is called before each text.
    """
    layers = [
        {layer: LayerEdits(saes[layer], [edits]) for layer, edits in of.items()} for of in variants
    ]
    totals = [0.0] * len(variants)
    for token_ids in texts:
        told()
        more = _diverged(resident, layers, token_ids)
        totals = [total + one for total, one in zip(totals, more, strict=True)]
    tokens = max(1, sum(map(len, texts)))
    return [total / tokens for total in totals]


def distinct_share(token_ids: Sequence[int], *, of: int = 1) -> float:
    """Return the share of n-grams that are different ones: 1 for a text that repeats nothing."""
    grams = [tuple(token_ids[place : place + of]) for place in range(len(token_ids) - of + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
