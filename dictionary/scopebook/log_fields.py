"""What is known while something is done and stands in each line that is logged meanwhile.

A request and a step each have fields of their own (context variables), so that lines of several
at once are told apart. Threads that a library starts know no context variable: in a worker's pool
process, which does one step at a time, their lines get the fields of that step.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_fields: ContextVar[dict[str, Any] | None] = ContextVar("scopebook_log_fields", default=None)


class _Process:
    """What holds for all that this process logs."""

    fields: Mapping[str, Any] = {}
    step: Mapping[str, Any] = {}


def note_process(**fields: Any) -> None:
    """Put fields into every line of this process, as the name of a worker."""
    _Process.fields = {**_Process.fields, **fields}


def log_fields() -> dict[str, Any]:
    """Return the fields of a line that is logged now."""
    own = _fields.get()
    return {**_Process.fields, **(_Process.step if own is None else own)}


def note_field(name: str, value: Any) -> None:
    """Add what became known to the request or the step at hand, in whatever thread of it."""
    own = _fields.get()
    if own is not None:
        # The same for all copies of the context: threads that serve a request hold such copies.
        own[name] = value


@contextmanager
def logged_with(**fields: Any) -> Iterator[None]:
    """Put fields into every line inside the block."""
    token = _fields.set({**(_fields.get() or {}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


@contextmanager
def logged_as_step(**fields: Any) -> Iterator[None]:
    """Put fields into every line inside the block, also of threads that know no context."""
    _Process.step = fields
    try:
        with logged_with(**fields):
            yield
    finally:
        _Process.step = {}
