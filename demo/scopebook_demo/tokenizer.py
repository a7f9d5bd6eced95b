"""Byte-level BPE tokenizer on the corpus, and documents packed into one row of token ids."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from scopebook_demo.corpus import Document, Split

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = [END_OF_TEXT, "<|im_start|>", "<|im_end|>"]
# How the Qwen2 family parts text before merging: words with one leading sign or space, single
# digits, runs of signs, line ends. Same rule here, so that token borders look alike.
WORD_RULE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES_PER_TAG = 1_200_000


@dataclass(frozen=True)
class Packed:
    """Documents one after the other, each closed by END_OF_TEXT.

    Attributes:
        ids: uint16, shape (token,).
        tags: uint8, shape (token,), index into `tag_names`.
        tag_names: sorted names of the tags.
    """

    ids: npt.NDArray[np.uint16]
    tags: npt.NDArray[np.uint8]
    tag_names: tuple[str, ...]


def train_tokenizer(documents: Iterable[Document], vocabulary: int) -> PreTrainedTokenizerFast:
    """Learn merges on the first BYTES_PER_TAG of each tag's training documents."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_RULE), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=16,
    )
    tokenizer.train_from_iterator(_balanced(documents), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # untyped upstream
        tokenizer_object=tokenizer, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )


def _balanced(documents: Iterable[Document]) -> Iterator[str]:
    taken: Counter[str] = Counter()
    for document in documents:
        if document.split == "train" and taken[document.tag] < BYTES_PER_TAG:
            taken[document.tag] += len(document.text.encode())
            yield document.text


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer saved in `folder`."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(str(folder))
    return tokenizer


def pack(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast, split: Split | None = None
) -> Packed:
    """Tokenise the documents of one split (or all) in the given order."""
    names = tuple(sorted({d.tag for d in documents}))
    chosen = [d for d in documents if split is None or d.split == split]
    fast = tokenizer.backend_tokenizer
    end = fast.token_to_id(END_OF_TEXT)
    rows = [[*e.ids, end] for e in fast.encode_batch([d.text for d in chosen])]
    tags = [
        np.full(len(r), names.index(d.tag), np.uint8) for d, r in zip(chosen, rows, strict=True)
    ]
    return Packed(
        np.concatenate([np.array(r, np.uint16) for r in rows]), np.concatenate(tags), names
    )


def save_packed(packed: Packed, path: Path) -> None:
    """Write as .npz."""
    np.savez(path, ids=packed.ids, tags=packed.tags, tag_names=np.array(packed.tag_names))


def load_packed(path: Path) -> Packed:
    """Read what `save_packed` wrote."""
    with np.load(path) as file:
        names = tuple(str(n) for n in file["tag_names"])
        return Packed(file["ids"], file["tags"], names)
