"""Read lines of JSON from gzip files that others made, without trusting their sizes."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from scopebook.errors import InvalidInputError, UnavailableError

#: A longer line is no row of a table.
LONGEST_LINE: Final = 16 << 20
#: A file that unpacks to more than this, and to so many times its size, is taken for a trap.
SUSPICIOUS_BYTES: Final = 256 << 20
SUSPICIOUS_RATIO: Final = 200
_CHUNK: Final = 1 << 20
_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Line(NamedTuple):
    """A line of a file: what it says, or why it says nothing."""

    number: int
    value: dict[str, Any] | None
    problem: str | None


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines that are not empty, each as an object or with the reason why it is none."""
    for number, content in _raw_lines(path):
        if content is None:
            yield Line(number, None, f"the line is longer than {LONGEST_LINE >> 20} MiB")
        elif content.strip():
            yield _parsed(number, content)


def check_lines(path: Path) -> int:
    """Return how many lines a file has, after it was unpacked to its end."""
    return sum(1 for _, content in _raw_lines(path) if content is None or content.strip())


def _parsed(number: int, content: bytes) -> Line:
    try:
        if b"\\u0000" in content:  # its own importer does the same: no database holds a NUL
            content = _NUL.sub(rb"\1 ", content)
        value = _DECODER.decode(content.decode())
    except (ValueError, RecursionError):
        return Line(number, None, "the line is not a JSON document")
    if not isinstance(value, dict):
        return Line(number, None, "the line is JSON, but not an object")
    return Line(number, value, None)


def _no_number(constant: str) -> Any:
    raise ValueError(constant)


_DECODER: Final = json.JSONDecoder(parse_constant=_no_number)


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield number and content of each line; None for one that is too long, which is skipped."""
    number, rest, too_long = 1, b"", False
    for chunk in _chunks(path):
        *whole, last = chunk.split(b"\n")
        for part in whole:
            content = rest + part
            skipped = too_long or len(content) > LONGEST_LINE
            yield number, None if skipped else content
            number, rest, too_long = number + 1, b"", False
        rest = b"" if too_long else rest + last
        if len(rest) > LONGEST_LINE:
            rest, too_long = b"", True
    if too_long or rest:
        yield number, None if too_long else rest


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        size = path.stat().st_size
        with _opened(path) as file:
            unpacked = 0
            while chunk := file.read(_CHUNK):
                unpacked += len(chunk)
                if unpacked > SUSPICIOUS_BYTES and unpacked > SUSPICIOUS_RATIO * size:
                    raise InvalidInputError(
                        f"{path} unpacks to more than {SUSPICIOUS_RATIO} times its size, which no "
                        "table does; nothing more of it is read."
                    )
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInputError(
            f"{path} is not a whole gzip file ({str(error).rstrip('.')}); copy it anew."
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read ({error.strerror or error}); make it readable."
        ) from error


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")
