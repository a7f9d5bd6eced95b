"""What every source of text gives: texts with what is known of them, and problems."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: What a record may say beside its text; other fields are left out.
FIELDS: Final = ("id", "tag", "language", "title", "source", "licence")
#: The longest text that is taken: one value of PostgreSQL holds little more in any encoding.
MAX_TEXT_BYTES: Final = 2**28
TOO_LONG: Final = f"longer than {MAX_TEXT_BYTES // 10**6} MB; cut it into several texts"


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text as a source holds it."""

    name: str
    text: str
    tag: str | None = None
    language: str | None = None
    title: str | None = None
    source: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Problem:
    """What was left out, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a source is read; `split` and `config` are for data sets of the hub."""

    text_field: str = "text"
    split: str | None = None
    config: str | None = None
    limit: int | None = None


def text_of(record: Mapping[str, object], text_field: str, where: str) -> Text:
    """Return the record's text, or raise `ValueError` with the reason why it has none."""
    text = value_of(record, text_field)
    if not isinstance(text, str):
        kind = "nothing" if text is None else type(text).__name__
        raise ValueError(f"the field {text_field!r} holds {kind} instead of text")
    fields = {name: _optional(record.get(name)) for name in FIELDS if name != text_field}
    for value in (text, *fields.values()):
        check(value or "")
    return Text(name=fields.pop("id", None) or where, text=text, **fields)


def column_of(text_field: str, names: object) -> str:
    """Return the field that holds the text: `messages` for `messages.user`, unless both are one."""
    known = names if isinstance(names, list | tuple) else []
    head, dot, _ = text_field.rpartition(".")
    return head if dot and text_field not in known else text_field


def value_of(record: Mapping[str, object], text_field: str) -> object:
    """Return what a field holds; of a list of messages their contents, one below the other.

    `messages.user` takes those of one role: messages are objects with `role` and `content`. Where
    that role has said nothing the text is empty.
    """
    field = column_of(text_field, list(record))
    value = record.get(field)
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        return value if field == text_field else None
    role = None if field == text_field else text_field.rpartition(".")[2]
    contents = [one.get("content") for one in value if role is None or one.get("role") == role]
    return "\n\n".join(content for content in contents if isinstance(content, str))


def _optional(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def check(text: str) -> None:
    """Raise `ValueError` for what Postgres cannot hold."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("not UTF-8, or half of a surrogate pair") from None
    if size_bytes > MAX_TEXT_BYTES:
        raise ValueError(TOO_LONG)


def listed(names: object) -> str:
    """Return the names of a source's fields for a sentence."""
    some = [repr(name) for name in names] if isinstance(names, list | tuple) else []
    return ", ".join(some[:20]) + (", ..." if len(some) > 20 else "") or "none"


def no_field(text_field: str, names: object) -> str:
    """Return why a table without that column gives no text."""
    return (
        f"has no column {text_field!r} but {listed(names)}; name the one that holds the text "
        "by --text-field"
    )
