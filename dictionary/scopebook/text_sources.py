"""Read texts from files: plain text, JSON lines, CSV, or a folder of text and code.

Every reader yields texts and, for what it cannot take, where and why; it never stops at one.
"""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError

#: What a record may say beside its text; other fields are left out.
FIELDS: Final = ("id", "tag", "language", "title", "source", "licence")

_SUFFIXES = """
    .txt .md .rst .tex .org .py .pyi .ipynb .c .h .cc .cpp .hpp .cs .rs .go .js .jsx .ts .tsx .java
    .kt .swift .scala .rb .php .pl .r .jl .lua .hs .ml .ex .erl .sh .bash .zsh .sql .html .css .scss
    .xml .yaml .yml .toml .ini .cfg
"""
TEXT_SUFFIXES: Final = frozenset(_SUFFIXES.split())


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


def read_texts(path: Path, *, text_field: str) -> Iterator[Text | Problem]:
    """Return the texts of a file or folder in their order; refuse what is neither."""
    if not path.exists():
        raise NotFoundError(f"There is no file or folder {path}; give the path of the text.")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return _read_json_lines(path, text_field)
    if path.suffix == ".csv":
        return _read_csv(path, text_field)
    if path.suffix in TEXT_SUFFIXES:
        return _read_plain(path, path.name, tag=None)
    raise InvalidInputError(
        f"{path.name} is of no kind that can be read; give a .txt, .md, .jsonl or .csv file, "
        "or a folder of text or code."
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read ({error.strerror}); make it readable."
        ) from error


def _decode(line: bytes) -> str:
    """Return the line as text, or raise `ValueError` with the reason why it is none."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {line[error.start]:#04x})") from error
    _check(text)
    return text


def _check(text: str) -> None:
    """Refuse what Postgres cannot hold."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("not UTF-8, or half of a surrogate pair")


def _read_folder(folder: Path) -> Iterator[Text | Problem]:
    """Read the files with known endings by path; the first sub-folder's name is their tag."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if not hidden and path.suffix.lower() in TEXT_SUFFIXES and path.is_file():
            tag = inside.parts[0] if len(inside.parts) > 1 else None
            yield from _read_plain(path, inside.as_posix(), tag=tag)


def _read_plain(path: Path, name: str, *, tag: str | None) -> Iterator[Text | Problem]:
    """Read one text, without the lines that are none."""
    lines = []
    for number, line in _lines(path):
        try:
            lines.append(_decode(line))
        except ValueError as error:
            yield Problem(f"{name}, line {number}", str(error))
    yield Text(name=name, text="".join(lines).removeprefix("\ufeff"), tag=tag)


def _read_json_lines(path: Path, text_field: str) -> Iterator[Text | Problem]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(_decode(line).removeprefix("\ufeff"))
            if not isinstance(record, dict):
                raise ValueError("not a JSON object")
            yield _text(record, text_field, f"line {number}")
        except RecursionError:
            yield Problem(f"line {number}", "JSON nested too deep")
        except json.JSONDecodeError as error:
            yield Problem(f"line {number}", f"broken JSON ({error.msg} at {error.pos})")
        except ValueError as error:
            yield Problem(f"line {number}", str(error))


def _read_csv(path: Path, text_field: str) -> Iterator[Text | Problem]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            if text_field not in (reader.fieldnames or ()):
                raise InvalidInputError(
                    f"{path.name} has no column {text_field!r} but {_listed(reader.fieldnames)}; "
                    "name the one that holds the text."
                )
            yield from _read_rows(reader, text_field)
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be read ({error.strerror}); make it readable."
        ) from error


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names or ()) or "none"


def _read_rows(reader: "csv.DictReader[str]", text_field: str) -> Iterator[Text | Problem]:
    while True:
        try:
            row = next(reader, None)
            if row is None:
                return
            yield _text(row, text_field, f"line {reader.line_num}")
        except (ValueError, csv.Error) as error:
            yield Problem(f"line {reader.line_num}", str(error))


def _text(record: Mapping[str, object], text_field: str, where: str) -> Text:
    """Return the record's text, or raise `ValueError` with the reason why it has none."""
    text = record.get(text_field)
    if not isinstance(text, str):
        kind = "nothing" if text is None else type(text).__name__
        raise ValueError(f"the field {text_field!r} holds {kind} instead of text")
    fields = {name: _optional(record.get(name)) for name in FIELDS}
    for value in (text, *fields.values()):
        _check(value or "")
    return Text(name=fields.pop("id") or where, text=text, **fields)


def _optional(value: object) -> str | None:
    return None if value is None or value == "" else str(value)
