"""Let the model go on with a text, a token at a time, so that others get their turns between."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from scopebook_workers.inference.prompts import Prompt
from scopebook_workers.inference.residents import Resident


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; at a temperature of 0 the likeliest is taken."""

    tokens: int
    temperature: float = 0.0
    seed: int = 0


@dataclass(eq=False)
class Writing:
    """A text that grows. Its cache is its own: nothing of it goes into another's text."""

    resident: Resident
    prompt: Prompt
    sampling: Sampling
    #: Texts that are written at once.
    variants: ClassVar[int] = 1
    token_ids: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)
    ended: bool = False
    _cache: Any = None
    _draws: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        """Begin without a cache."""
        self._draws = torch.Generator().manual_seed(self.sampling.seed)

    @torch.no_grad()
    def step(self) -> None:
        """Write one more token; the last is one that ends a text, or the last that is wanted."""
        model: Any = self.resident.model
        if self._cache is None:
            self._cache = DynamicCache(config=model.config.get_text_config())
            fresh = torch.from_numpy(self.prompt.token_ids.astype(np.int64))
        else:
            fresh = torch.tensor(self.token_ids[-1:])
        answer = model(
            input_ids=fresh[None].to(model.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        # A padded vocabulary has places that are no token.
        logits = answer.logits[0, -1, : len(self.resident.pieces)].float().cpu()
        token = draw(logits, self.sampling.temperature, self._draws)
        self.token_ids.append(token)
        self.probabilities.append(float(logits.softmax(0)[token]))
        self.ended = len(self.token_ids) >= self.sampling.tokens or token in ends(model)

    def shown(self) -> list[tuple[str, float]]:
        """Return what is written by now: the text of each token, and how likely it was."""
        texts = show(self.resident, self.token_ids, ended=self.ended)
        return list(zip(texts, self.probabilities, strict=True))

    def whole(self) -> Prompt:
        """Return the text with what is written, cut into the tokens that the model has seen."""
        return extended(self.resident, self.prompt, self.token_ids)


def draw(logits: Tensor, temperature: float, draws: torch.Generator) -> int:
    """Return the next token; at a temperature of 0 the likeliest."""
    if not temperature:
        return int(logits.argmax())
    return int(torch.multinomial((logits / temperature).softmax(0), 1, generator=draws))


def show(resident: Resident, token_ids: Sequence[int], *, ended: bool) -> list[str]:
    """Return the text of each token; a character that several share stands at the last of them."""
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    texts = [reader.decode(resident.pieces[token]) for token in token_ids]
    if ended and texts:
        texts[-1] += reader.decode(b"", final=True)
    # The one character that Postgres cannot hold.
    return [text.replace("\0", "\N{SYMBOL FOR NULL}") for text in texts]


def extended(resident: Resident, prompt: Prompt, token_ids: Sequence[int]) -> Prompt:
    """Return a prompt with tokens that were written after it."""
    text, spans = spell([resident.pieces[token] for token in token_ids])
    return Prompt(
        text=prompt.text + text,
        token_ids=np.concatenate([prompt.token_ids, np.asarray(token_ids, np.int32)]),
        spans=np.concatenate([prompt.spans, spans + np.int32(len(prompt.text))]),
    )


def ends(model: Any) -> set[int]:
    """Return the tokens after which the model says no more."""
    named = model.generation_config.eos_token_id
    if named is None:
        named = model.config.get_text_config().eos_token_id
    return set(named if isinstance(named, list) else [named])


_BROKEN: Final = "\N{REPLACEMENT CHARACTER}"


def spell(pieces: Sequence[bytes]) -> tuple[str, NDArray[np.int32]]:
    """Return the text of some tokens, and the characters of each: shared ones belong to all.

    Bytes that make no character are shown as a replacement character.
    """
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    spans = np.zeros((len(pieces), 2), np.int32)
    for place, piece in enumerate(pieces):
        begun = len(text)
        text += reader.decode(piece)
        waiting = bool(reader.getstate()[0])
        spans[place] = begun, len(text) + waiting
    # What is left of a character that never ended.
    text += reader.decode(b"", final=True)
    return text, np.minimum(spans, len(text))
