"""Read texts from files of lines: plain text, JSON lines and CSV, also compressed.

Every reader yields texts and, for what it cannot take, where and why; it never stops at one.
Memory holds one text, however long the file is.
"""

import csv
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import zstandard

from scopebook.errors import UnavailableError
from scopebook.texts import MAX_TEXT_BYTES, TOO_LONG, Problem, Text, check, no_field, text_of

#: Bytes that are read at once; compressed ones grow up to a thousandfold.
_CHUNK: Final = 1 << 20
_COMPRESSED_CHUNK: Final = 1 << 14

Found = Iterator[Text | Problem]
_Lines = Iterator[tuple[int, bytes]]


class _BrokenError(ValueError):
    """From here on the file cannot be read."""


_DECOMPRESSORS: Final[dict[str, Callable[[], Any]]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
COMPRESSED: Final = frozenset(_DECOMPRESSORS)


def read_plain(path: Path, name: str) -> Found:
    """Read one text, without the lines that are none."""
    body = bytearray()
    number = 0
    try:
        for number, line in _lines(path):
            try:
                _decode(line)
                if len(body) <= MAX_TEXT_BYTES:
                    body += line
            except ValueError as error:
                yield Problem(f"{name}, line {number}", str(error))
    except _BrokenError as error:
        yield Problem(f"{name}, after line {number}", str(error))
    if len(body) > MAX_TEXT_BYTES:
        yield Problem(name, TOO_LONG)
    else:
        yield Text(name=name, text=body.decode().removeprefix("\ufeff"))


def read_json_lines(path: Path, text_field: str, within: str = "") -> Found:
    """Read one JSON object a line; `within` names the file where it is one of many."""
    number = 0
    try:
        for number, line in _lines(path):
            if line.strip():
                yield _json_text(line, text_field, f"{within}line {number}")
    except _BrokenError as error:
        yield Problem(f"{within}after line {number}", str(error))


def _json_text(line: bytes, text_field: str, where: str) -> Text | Problem:
    try:
        record = json.loads(_decode(line).removeprefix("\ufeff"))
        if not isinstance(record, dict):
            raise ValueError("not a JSON object")
        return text_of(record, text_field, where)
    except RecursionError:
        return Problem(where, "JSON nested too deep")
    except json.JSONDecodeError as error:
        return Problem(where, f"broken JSON ({error.msg} at {error.pos})")
    except ValueError as error:
        return Problem(where, str(error))


def read_table(
    path: Path, text_field: str, within: str = "", *, delimiter: str = ",", name: str
) -> Found:
    """Read one text a row; the first row names the columns."""
    csv.field_size_limit(MAX_TEXT_BYTES)
    rows = csv.reader(_texts_of_lines(path), delimiter=delimiter)
    try:
        columns = next(rows, [])
        if text_field not in columns:
            yield Problem(name, no_field(text_field, columns))
            return
        while True:
            try:
                row = next(rows, None)
                if row is None:
                    return
                if row:
                    record = dict(zip(columns, row, strict=False))
                    yield text_of(record, text_field, f"{within}line {rows.line_num}")
            except _BrokenError:
                raise
            except (ValueError, csv.Error) as error:
                yield Problem(f"{within}line {rows.line_num}", str(error))
    except (_BrokenError, csv.Error) as error:
        yield Problem(f"{within}after line {rows.line_num}", str(error))


def _texts_of_lines(path: Path) -> Iterator[str]:
    """Yield the lines with what is no UTF-8 as lone surrogates, which no text may hold."""
    for number, line in _lines(path):
        text = line.decode(errors="surrogateescape")
        yield text.removeprefix("\ufeff") if number == 1 else text


def _decode(line: bytes) -> str:
    """Return the line as text, or raise `ValueError` with the reason why it is none."""
    if len(line) > MAX_TEXT_BYTES:
        raise ValueError(TOO_LONG)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {line[error.start]:#04x})") from error
    check(text)
    return text


def _lines(path: Path) -> _Lines:
    """Yield the lines with their numbers; one that is too long ends after `MAX_TEXT_BYTES` + 1."""
    kept = bytearray()
    number = 1
    for chunk in _decompressed(path):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            yield number, _limited(kept, end) + b"\n"
            kept.clear()
            number += 1
        if len(kept) <= MAX_TEXT_BYTES:
            kept += rest
    if kept:
        yield number, _limited(kept, b"")


def _limited(kept: bytearray, end: bytes) -> bytes:
    return bytes(kept + end) if len(kept) <= MAX_TEXT_BYTES else bytes(kept[: MAX_TEXT_BYTES + 1])


def _decompressed(path: Path) -> Iterator[bytes]:
    """Yield the file's content; raise `_BrokenError` where compressed data ends too early."""
    new = _DECOMPRESSORS.get(path.suffix.lower())
    if new is None:
        yield from _chunks(path, _CHUNK)
        return
    stream = new()
    for compressed in _chunks(path, _COMPRESSED_CHUNK):
        left = compressed
        while left:
            if stream.eof:
                stream = new()  # members may follow one another
            try:
                yield stream.decompress(left)
            except (zlib.error, zstandard.ZstdError) as error:
                raise _BrokenError(f"compressed data that is damaged ({error})") from error
            left = stream.unused_data if stream.eof else b""
    if not stream.eof:
        raise _BrokenError("compressed data that is cut off")


def _chunks(path: Path, size: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(size):
                yield chunk
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read ({error.strerror}); make it readable."
        ) from error
