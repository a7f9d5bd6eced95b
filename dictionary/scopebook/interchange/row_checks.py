"""What a row of a dump must be, before the database is asked."""

import json
import math
from typing import Any, Final

from scopebook.interchange.import_progress import DumpRow


class RefusedRowError(Exception):
    """A row that does not come in; the message says why, for the report."""


def check_numbers(row: DumpRow) -> None:
    """Refuse what is no number where one should be: NaN and infinity, also within lists."""
    for name, value in row.values.items():
        if not _finite(value):
            raise RefusedRowError(f"{name} is not a finite number")


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        kinds = set(map(type, value))
        # Sums of numbers that fit a column do not overflow, so they tell of all at once.
        if kinds == {float}:
            return math.isfinite(sum(value))
        return kinds <= {int, str} or all(_finite(one) for one in value)
    if isinstance(value, dict):
        return all(_finite(one) for one in value.values())
    return True


#: Versions and the like go on being counted here, so that the largest must be far away.
_MOST_COUNTED: Final = 1 << 30


def check_count(row: DumpRow, name: str) -> None:
    """Refuse what is not counted from 1."""
    if not 1 <= (row.values[name] or 0) <= _MOST_COUNTED:
        raise RefusedRowError(f"{name} {row.values[name]} is not counted from 1")


def read_json(row: DumpRow, name: str) -> dict[str, Any]:
    """Return a JSON column's value."""
    try:
        found = json.loads(row.values[name], parse_constant=_no_number)
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedRowError(f"{name} is not a JSON document") from error
    if not isinstance(found, dict):
        raise RefusedRowError(f"{name} is JSON, but not an object")
    return found


def _no_number(constant: str) -> Any:
    raise ValueError(constant)


def read_hash(row: DumpRow, name: str) -> bytes:
    """Return a SHA-256 that is written in hexadecimal."""
    try:
        found = bytes.fromhex(row.values[name])
    except (ValueError, TypeError):
        found = b""
    if len(found) != 32:
        raise RefusedRowError(f"{name} is not a SHA-256 of 64 hexadecimal digits")
    return found


def required(row: DumpRow, *names: str) -> None:
    """Refuse a row in which one of these is missing."""
    for name in names:
        if row.values[name] is None:
            raise RefusedRowError(f"{name} is missing")
