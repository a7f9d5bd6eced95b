"""Load a tokenizer, tell two apart, cut texts, and name the bytes of its entries."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from scopebook.errors import CheckpointError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE_MARK = "▁"

#: Characters that are cut in one piece.
LONGEST = 1 << 20


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a model folder, without truncation or padding.

    `tokenizer.json` is taken as it stands; only a folder without one goes through transformers.
    """
    file = path / "tokenizer.json"
    try:
        if file.exists():
            tokenizer = Tokenizer.from_file(str(file))
        else:
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True).backend_tokenizer
    except Exception as error:  # the Rust library raises plain Exception
        raise CheckpointError(
            f"{path} holds no tokenizer that can be loaded ({type(error).__name__}); give a model "
            "folder with a tokenizer.json."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def fingerprint(tokenizer: Tokenizer) -> str:
    """Return the SHA-256 of the tokenizer's content, whatever its file's layout."""
    content = json.loads(tokenizer.to_str())
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def cut_texts(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> list[tuple[Int32[np.ndarray, " token"], Int32[np.ndarray, "token 2"]]]:
    """Return each text's token ids, and the first and last (exclusive) character of each.

    Nothing is added: Qwen knows no token that begins a text.
    """
    return [
        (
            np.asarray(cut.ids, dtype=np.int32),
            np.asarray(cut.offsets, dtype=np.int32).reshape(-1, 2),
        )
        for cut in tokenizer.encode_batch(list(texts), add_special_tokens=False)
    ]


def cut_long_texts(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> Iterator[tuple[Int32[np.ndarray, " token"], Int32[np.ndarray, "token 2"]]]:
    """Yield what `cut_texts` returns, in memory that is little more than the result.

    The library takes about 100 bytes a token while it cuts, so a text of more than `LONGEST`
    characters is cut in pieces that end at a line's end where there is one. Only a token across
    such a place may differ.
    """
    short = [text for text in texts if len(text) <= LONGEST]
    cut_short = iter(cut_texts(tokenizer, short))
    for text in texts:
        if len(text) <= LONGEST:
            yield next(cut_short)
            continue
        pieces = []
        for start, end in _pieces(text):
            (token_ids, spans), *_ = cut_texts(tokenizer, [text[start:end]])
            pieces.append((token_ids, spans + np.int32(start)))
        yield (
            np.concatenate([token_ids for token_ids, _ in pieces]),
            np.concatenate([spans for _, spans in pieces]),
        )


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = start + LONGEST
        if end < len(text):
            end = text.rfind("\n", start + LONGEST // 2, end) + 1 or end
        yield start, min(end, len(text))
        start = end


def token_pieces(tokenizer: Tokenizer) -> list[bytes]:
    """Return the bytes of each entry, by token id; an id that is not in use has none."""
    content = json.loads(tokenizer.to_str())
    added = {entry["id"] for entry in content.get("added_tokens", ())}
    kinds = _decoder_kinds(content.get("decoder"))
    names = {token_id: name for name, token_id in tokenizer.get_vocab().items()}
    pieces = [b""] * (max(names, default=-1) + 1)
    for token_id, name in names.items():
        if token_id in added:
            pieces[token_id] = name.encode()
        elif "ByteLevel" in kinds:
            pieces[token_id] = _from_byte_level(name)
        else:
            pieces[token_id] = _from_marks(name)
    return pieces


def _decoder_kinds(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    parts = decoder.get("decoders", ())
    return {decoder["type"]}.union(*(_decoder_kinds(part) for part in parts))


def _byte_of_character() -> dict[str, int]:
    """Return the alphabet of byte-level BPE: a printable character for each byte.

    Printable Latin-1 stands for itself; the other bytes, in their order, follow at U+0100.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }


_BYTES = _byte_of_character()


def _from_byte_level(name: str) -> bytes:
    if all(character in _BYTES for character in name):
        return bytes(_BYTES[character] for character in name)
    return name.encode()


def _from_marks(name: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace(_SPACE_MARK, " ").encode()
