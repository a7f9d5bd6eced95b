"""Cursors: the sort key of a page's last row, so that paging never skips or repeats."""

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

import numpy as np

from scopebook.errors import InvalidInputError

FOREIGN: Final = (
    "The cursor is not one of this list; take it from `next` of the page before, with the same "
    "filters and sorting."
)
#: Row ids that one cursor holds.
MOST_IDS: Final = 1_000
_MOST_BYTES: Final = 9 * MOST_IDS


def encode_cursor(key: Sequence[Any]) -> str:
    """Return an opaque, URL-safe cursor for a sort key of JSON values."""
    return base64.urlsafe_b64encode(json.dumps(list(key)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: Sequence[type]) -> list[Any]:
    """Return the sort key; `kinds` are the types its values must have."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = json.loads(base64.urlsafe_b64decode(padded))
    except (binascii.Error, ValueError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or not all(_fits(value, kind) for value, kind in zip(key, kinds, strict=True))
    ):
        raise InvalidInputError(FOREIGN)
    return key


def pack_ids(ids: Sequence[int]) -> str:
    """Return a set of row ids as short text: the steps between them, compressed."""
    steps = np.diff(np.sort(np.asarray(ids, dtype=np.int64)), prepend=0)
    return base64.urlsafe_b64encode(zlib.compress(_varints(steps.tolist()), 9)).decode()


def unpack_ids(packed: str) -> list[int]:
    """Return the row ids in order, or refuse what `pack_ids` has not made."""
    try:
        raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(packed), _MOST_BYTES)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise InvalidInputError(FOREIGN) from error
    steps, step, shift = [], 0, 0
    for byte in raw:
        step |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            steps.append(step)
            step = shift = 0
    ids = list(accumulate(steps))
    if len(ids) > MOST_IDS or (ids and ids[-1] >= 2**62):
        raise InvalidInputError(FOREIGN)
    return ids


def _varints(numbers: Sequence[int]) -> bytes:
    """Return numbers in as few bytes as each needs, seven bits in a byte, the lowest first."""
    raw = bytearray()
    for number in numbers:
        rest = number
        while rest > 127:
            raw.append(rest & 127 | 128)
            rest >>= 7
        raw.append(rest)
    return bytes(raw)


def _fits(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
