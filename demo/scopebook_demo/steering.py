"""Does a feature change what the model writes? Generation with an edit, judged by token counts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3_5ForCausalLM

from scopebook_demo.sae import Edit, Sae, encode, residual, write_back
from scopebook_demo.tokenizer import SPECIAL_TOKENS, Packed

# A prompt must not end in a space: the space belongs to the next token.
PROMPTS: dict[str, tuple[str, ...]] = {
    "English": (  # as a manual begins: without an edit the model goes on like a manual
        "In this section", "You can use the", "This option", "To install the package",
        "Select the", "The following command", "If you want to", "The file",
    ),
    "Chinese": (
        "这是一个", "如果你", "在这个", "我们可以", "系统中", "使用", "当你", "文件",
    ),
}  # fmt: skip
# Steering features are chosen on these and scored on those above.
CHOOSING_PROMPTS = (
    "Click the", "When you install", "The default", "Use this", "Open the", "This command",
)  # fmt: skip


UNREADABLE = "unreadable"


def is_readable(text: str) -> bool:
    """At most a tenth of the characters are broken: bytes that make no character."""
    return text.count("\ufffd") <= 0.1 * len(text)


class TokenJudge:
    """Naive Bayes over token counts: which concept do generated tokens look like?"""

    def __init__(
        self, packed: Packed, concept_of_tag: dict[str, str], names: Sequence[str], vocabulary: int
    ) -> None:
        self.names = tuple(names)
        table = np.zeros((len(self.names), vocabulary))
        to_concept = np.array([self.names.index(concept_of_tag[t]) for t in packed.tag_names])
        np.add.at(table, (to_concept[packed.tags], packed.ids.astype(np.int64)), 1)
        table += 0.1  # add-0.1 smoothing
        self.log_share: npt.NDArray[np.float64] = np.log(table / table.sum(1, keepdims=True))

    def judge(self, ids: Sequence[int]) -> str:
        """The most likely concept, special tokens not counted, equal priors."""
        ordinary = [i for i in ids if i >= len(SPECIAL_TOKENS)]
        return self.names[int(self.log_share[:, ordinary].sum(1).argmax())]


@dataclass(frozen=True)
class Outcome:
    """What a set of generated texts looks like.

    Attributes:
        shares: concept -> share of the texts judged to be it; unreadable texts are none.
        distinct: mean share of different tokens in a text; low when the text loops.
        texts: the texts, prompts left out.
    """

    shares: dict[str, float]
    distinct: float
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Writer:
    """A model that continues fixed prompts, with or without an edit of one layer."""

    model: Qwen3_5ForCausalLM
    tokenizer: PreTrainedTokenizerFast
    judge: TokenJudge
    samples: int = 3
    new_tokens: int = 40
    seed: int = 0

    def write(self, prompts: Sequence[str], layer: int = 0, edit: Edit | None = None) -> Outcome:
        """Sample `samples` texts per prompt at temperature 0.8, top 50."""
        torch.manual_seed(self.seed)
        by_length: dict[int, list[list[int]]] = defaultdict(list)
        for prompt in prompts:  # equal lengths go in one batch, so that nothing is padded
            ids = self.tokenizer.encode(prompt.rstrip())
            by_length[len(ids)] += [ids] * self.samples
        with residual(self.model, layer, edit):
            rows = [row for batch in by_length.values() for row in self._continue(batch)]
        texts = tuple(str(self.tokenizer.decode(row)) for row in rows)
        judged = [
            self.judge.judge(row) if is_readable(text) else UNREADABLE
            for row, text in zip(rows, texts, strict=True)
        ]
        return Outcome(
            shares={
                name: judged.count(name) / len(rows)
                for name in (*self.judge.names, UNREADABLE)
                if name in judged
            },
            distinct=float(np.mean([len(set(row)) / len(row) for row in rows])),
            texts=texts,
        )

    def _continue(self, prompts: list[list[int]]) -> list[list[int]]:
        ids = torch.tensor(prompts)
        output = self.model.generate(  # type: ignore[misc]  # its own class does not fit
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self.new_tokens,
            do_sample=True,
            temperature=0.8,
            top_k=50,
            pad_token_id=0,
            eos_token_id=None,
        )
        return [[int(i) for i in row[ids.shape[1] :]] for row in output]


def push(sae: Sae, features: Sequence[int], length: float) -> Edit:
    """h -> h + length * u, u the unit vector along the features' summed directions."""
    direction = sae.W_dec[:, list(features)].sum(1)
    step = length * direction / direction.norm()

    def edit(h: Float[Tensor, "batch position d_model"]) -> Tensor:
        pushed: Tensor = h + step
        return pushed

    return edit


def mute(sae: Sae, features: Sequence[int]) -> Edit:
    """h -> h - sum over the features of v_f W_dec[:, f]: their own share goes, the rest stays."""
    silenced = torch.zeros(sae.width, dtype=torch.bool)
    silenced[list(features)] = True

    def edit(h: Float[Tensor, "batch position d_model"]) -> Tensor:
        values, indices = encode(sae, h.flatten(0, 1))
        written: Tensor = write_back(sae, values * silenced[indices], indices).view_as(h)
        return h - written

    return edit
