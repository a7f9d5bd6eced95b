"""Cursors: the sort key of a page's last row, so that paging never skips or repeats."""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from scopebook.errors import InvalidInputError


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
        raise InvalidInputError(
            "The cursor is not one of this list; take it from `next` of the page before, "
            "with the same filters and sorting."
        )
    return key


def _fits(value: object, kind: type) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
