"""What a worker counts, added up in memory until its next heartbeat takes it to the database.

The sums are the instance's: they outlive the process that counted, and a scrape of the API finds
them wherever the workers stand (`docs/decisions/0026-metrics-of-workers.md`).
"""

import threading
from collections.abc import Mapping

#: A name, and labels with their values in order.
Key = tuple[str, tuple[tuple[str, str], ...]]

_lock = threading.Lock()
_counted: dict[Key, float] = {}
_gauges: dict[str, float] = {}


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add to a sum.

    Labels have few values each: never a name that people give, never a number of a row.
    """
    give_back({(name, tuple(sorted(labels.items()))): amount})


def set_gauge(name: str, value: float) -> None:
    """Say what a number of this process is now."""
    with _lock:
        _gauges[name] = value


def gauges() -> dict[str, float]:
    """Return the numbers of this process."""
    with _lock:
        return dict(_gauges)


def take() -> dict[Key, float]:
    """Return what was counted since it was last taken, which is nobody else's then."""
    with _lock:
        taken = dict(_counted)
        _counted.clear()
    return taken


def give_back(taken: Mapping[Key, float]) -> None:
    """Add what was taken and could not be handed over."""
    with _lock:
        for key, amount in taken.items():
            _counted[key] = _counted.get(key, 0) + amount
