"""When to ask again: exponential backoff with full jitter, and what the server asks for."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, kw_only=True)
class Retries:
    """How often one request is sent, and how long is waited in between, in seconds."""

    attempts: int = 5
    base_s: float = 0.5
    longest_s: float = 30.0
    #: A server that asks for more than this is left alone: the run stops.
    patience_s: float = 300.0

    def wait(self, attempt: int, dice: random.Random) -> float:
        """Return the seconds to wait after attempt 1, 2, ..: anything up to a doubling bound."""
        return dice.uniform(0, min(self.longest_s, self.base_s * 2 ** (attempt - 1)))


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date; else None."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, now or datetime.now(UTC))
    return seconds if 0 <= seconds < float("inf") else None


def _until(value: str, now: datetime) -> float | None:
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - now).total_seconds())
