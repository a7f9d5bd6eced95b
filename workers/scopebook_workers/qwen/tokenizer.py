"""Load a tokenizer, tell two apart, cut texts, and name the bytes of its entries."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from scopebook.errors import CheckpointError

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE_MARK = "▁"

#: Characters that are cut in one piece.
LONGEST = 1 << 18


def load_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a model folder, without truncation or padding.

    `tokenizer.json` is taken as it stands; only a folder without one goes through transformers.
    """
    file = path / "tokenizer.json"
    try:
        if file.exists():
            tokenizer = Tokenizer.from_file(str(file))
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            ).backend_tokenizer
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


def cut_in_contexts(
    tokenizer: Tokenizer, texts: Sequence[str], context_tokens: int
) -> Iterator[Iterator[tuple[Int32[np.ndarray, " token"], Int32[np.ndarray, "token 2"]]]]:
    """Yield for each text its contexts: what `cut_texts` returns, so many tokens at a time.

    The library takes hundreds of bytes a token while it cuts, so a text of more than `LONGEST`
    characters is cut in pieces that end at a line's end where there is one; take its contexts
    before the next text's. Only a token across such a place may differ.
    """
    cut_short = iter(cut_texts(tokenizer, [text for text in texts if len(text) <= LONGEST]))
    for text in texts:
        if len(text) <= LONGEST:
            yield _filled([next(cut_short)], context_tokens)
        else:
            yield _filled(_cut_pieces(tokenizer, text), context_tokens)


def _cut_pieces(
    tokenizer: Tokenizer, text: str
) -> Iterator[tuple[Int32[np.ndarray, " token"], Int32[np.ndarray, "token 2"]]]:
    for start, end in _pieces(text):
        (token_ids, spans), *_ = cut_texts(tokenizer, [text[start:end]])
        yield token_ids, spans + np.int32(start)


def _filled(
    pieces: Iterable[tuple[NDArray[np.int32], NDArray[np.int32]]], size: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Fill contexts across the borders of pieces; the last may be shorter."""
    ids, spans = np.zeros(0, dtype=np.int32), np.zeros((0, 2), dtype=np.int32)
    for more_ids, more_spans in pieces:
        ids, spans = np.concatenate([ids, more_ids]), np.concatenate([spans, more_spans])
        whole = len(ids) // size * size
        for start in range(0, whole, size):
            yield ids[start : start + size], spans[start : start + size]
        ids, spans = ids[whole:], spans[whole:]
    if len(ids):
        yield ids, spans


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
