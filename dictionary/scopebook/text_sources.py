"""Choose how a source of text is read: by the kind of its files, or from the hub.

Readers yield texts and, for what they cannot take, where and why; none stops at a bad record.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Final

from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError
from scopebook.text_files import COMPRESSED, read_json_lines, read_plain, read_table
from scopebook.texts import Problem, Reading, Text

HUB_PREFIX: Final = "hf:"
_SUFFIXES = """
    .txt .md .rst .tex .org .py .pyi .ipynb .c .h .cc .cpp .hpp .cs .rs .go .js .jsx .ts .tsx .java
    .kt .swift .scala .rb .php .pl .r .jl .lua .hs .ml .ex .erl .sh .bash .zsh .sql .html .css .scss
    .xml .yaml .yml .toml .ini .cfg
"""
TEXT_SUFFIXES: Final = frozenset(_SUFFIXES.split())
_JSON_LINES: Final = (".jsonl", ".ndjson")
_TABLES: Final = {".csv": ",", ".tsv": "\t"}
_PARQUET: Final = (".parquet", ".pq")


def read_texts(source: Path | str, reading: Reading) -> Iterator[Text | Problem]:
    """Return the texts of a file, a folder or `hf:ID` in their order; refuse what is none."""
    if str(source).startswith(HUB_PREFIX):
        hub_texts = import_module("scopebook.hub_texts")  # it takes seconds to load
        texts = hub_texts.read_dataset(str(source).removeprefix(HUB_PREFIX), reading)
    elif reading.split or reading.config:
        raise InvalidInputError(
            f"{source} is no data set of the hub, and only such have splits and configs; "
            "leave out --split and --config, or give hf:OWNER/NAME."
        )
    else:
        texts = _read_path(Path(source), reading.text_field)
    return texts if reading.limit is None else _first(texts, reading.limit)


def _first(texts: Iterator[Text | Problem], limit: int) -> Iterator[Text | Problem]:
    """End after so many records, the bad ones among them."""
    yield from islice(texts, limit)


def _read_path(path: Path, text_field: str) -> Iterator[Text | Problem]:
    if not path.exists():
        raise NotFoundError(
            f"There is no file or folder {path}; give the path of the text, or hf:OWNER/NAME for "
            "a data set of the hub."
        )
    if path.is_dir():
        return _read_folder(path, text_field)
    texts = _read_file(path, path.name, text_field, within="")
    if texts is None:
        raise InvalidInputError(
            f"{path.name} is of no kind that can be read; give a .txt, .md, .jsonl, .csv, .tsv or "
            ".parquet file (also .gz or .zst), or a folder of such and of code."
        )
    return texts


def _kind(path: Path) -> str:
    """Return the suffix that tells what the file holds, in lower case."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in COMPRESSED else suffix


def _read_file(
    path: Path, name: str, text_field: str, *, within: str
) -> Iterator[Text | Problem] | None:
    """Return the texts of a file; none if its kind is not known."""
    kind = _kind(path)
    if kind in _JSON_LINES:
        return read_json_lines(path, text_field, within)
    if kind in _TABLES:
        return read_table(path, text_field, within, delimiter=_TABLES[kind], name=name)
    if path.suffix.lower() in _PARQUET:
        texts = import_module("scopebook.parquet_texts")  # Arrow loads when it is needed
        return texts.read_parquet(path, text_field, within, name=name)  # type: ignore[no-any-return]
    return read_plain(path, name) if kind in TEXT_SUFFIXES else None


def _read_folder(folder: Path, text_field: str) -> Iterator[Text | Problem]:
    """Read the files of known kinds by path; the first sub-folder's name tags what has no tag."""
    unknown: Counter[str] = Counter()
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or path.is_dir():
            continue
        name = inside.as_posix()
        texts = _read_file(path, name, text_field, within=f"{name}, ")
        if texts is None:
            unknown[_kind(path) or path.name] += 1
            continue
        tag = inside.parts[0] if len(inside.parts) > 1 else None
        try:
            for text in texts:
                yield replace(text, tag=text.tag or tag) if isinstance(text, Text) else text
        except UnavailableError as error:
            yield Problem(name, str(error).rstrip("."))
    if unknown:
        kinds = ", ".join(f"{count} {kind}" for kind, count in unknown.most_common(8))
        more = ", ..." if len(unknown) > 8 else ""
        yield Problem(
            str(folder), f"{unknown.total():,} files of no kind that can be read ({kinds}{more})"
        )
