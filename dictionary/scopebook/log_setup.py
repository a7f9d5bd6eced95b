"""How every process logs: one line for each event on stderr, as text or as JSON.

What stands in a line is made safe on its way out: passwords in addresses, bearer tokens, tokens of
Scopebook, query strings and what a database tells of a row's content are left out.
"""

import logging
import re
import sys
from copy import copy
from typing import Any, Final

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from scopebook.log_fields import log_fields
from scopebook.settings import settings

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: What must not stand in a log, and what stands there instead.
_HIDDEN: Final = (
    (re.compile(r"(\w://[^\s/:@\"']*):[^\s/@\"']+@"), r"\1:***@"),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\bsb_[A-Za-z0-9_-]{8,}"), "***"),
    (re.compile(r"(\bhttps?://[^\s?\"'<>]+)\?[^\s\"'<>]*"), r"\1?***"),
    # Of a row that was refused PostgreSQL tells the values, which may be a person's text.
    (re.compile(r"(\bDETAIL: ).*"), r"\1***"),
)
#: They say at INFO what nobody asks for, as the address of each request they send.
_TALKATIVE: Final = ("alembic", "httpx2", "httpcore", "urllib3", "fsspec", "filelock")
#: Loggers with handlers of their own, which would write in another format, or twice.
_THEIRS: Final = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "celery", "celery.task")


def hidden(text: str) -> str:
    """Return a text without what must not stand in a log."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text


def _safe(record: logging.LogRecord, formatter: logging.Formatter) -> logging.LogRecord:
    """Return a copy of a record whose words are safe; other handlers may want it as it is."""
    record = copy(record)
    record.msg, record.args = hidden(record.getMessage()), None
    if record.exc_info:
        record.exc_text = hidden(formatter.formatException(record.exc_info))
        record.exc_info = None
    return record


class TextFormatter(logging.Formatter):
    """A line for people, with its fields at the end."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record = _safe(record, self)
        fields = " ".join(f"{name}={value}" for name, value in log_fields().items())
        if fields:
            record.msg = f"{record.msg} [{hidden(fields)}]"
        return super().format(record)


class JsonLineFormatter(JsonFormatter):
    """A JSON object: `timestamp`, `level`, `logger`, `message`, the fields, and `exc_info`."""

    def __init__(self) -> None:
        renamed = {"levelname": "level", "name": "logger"}
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields=renamed,
            timestamp=True,
            # uvicorn's message again, for a terminal.
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],
            json_ensure_ascii=False,
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record = _safe(record, self)
        for name, value in log_fields().items():
            # What a line says of itself, by `extra`, stands before what is known around it.
            record.__dict__.setdefault(name, hidden(value) if isinstance(value, str) else value)
        line: Any = super().format(record)
        return str(line)


class LineHandler(logging.StreamHandler[Any]):
    """The one handler that Scopebook adds."""


def set_up_logs() -> None:
    """Log by the settings from now on; called again it only takes up what they have become."""
    chosen = settings()
    handler = LineHandler(sys.stderr)
    handler.setFormatter(JsonLineFormatter() if chosen.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(chosen.log_level)
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _THEIRS:
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = True
    # It would tell query strings; `scopebook_api.observing` writes these lines instead.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
