"""Read a backup: nothing of it is trusted before its hashes and sizes are found right.

A part is never unpacked to where its name says: parts are read by the names that the manifest may
hold, links are not followed, and no more is read of one than the manifest says.
"""

import hashlib
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, Protocol, cast

import zstandard
from pydantic import ValidationError

from scopebook.backups.layout import (
    LONGEST_MANIFEST,
    MANIFEST,
    VERSION,
    FilePart,
    Manifest,
    TablePart,
    read,
    version_of,
)
from scopebook.errors import InvalidInputError, NotFoundError, UnavailableError

_BLOCK: Final = 1 << 20
#: What a stream may ask for when it is read: 128 MB; ours need 8 MB at most.
_MOST_WINDOW: Final = 1 << 27

Told = Callable[[str], None]


class _Source(Protocol):
    """Where the parts of a backup lie."""

    def sizes(self) -> dict[str, int]:
        """Return the size of each file that lies there, by its name."""

    def open(self, name: str) -> IO[bytes]:
        """Open one of them."""


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def sizes(self) -> dict[str, int]:
        return dict(self._look(self._root, ""))

    def _look(self, folder: Path, before: str) -> Iterator[tuple[str, int]]:
        with os.scandir(folder) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    yield from self._look(Path(entry.path), f"{before}{entry.name}/")
                elif stat.S_ISREG(facts.st_mode):
                    yield f"{before}{entry.name}", facts.st_size
                else:
                    raise InvalidInputError(
                        f"{self._root} holds {before}{entry.name}, which is no plain file; a "
                        "backup has no links. Nothing was changed."
                    )

    def open(self, name: str) -> IO[bytes]:
        descriptor = os.open(self._root / name, os.O_RDONLY | os.O_NOFOLLOW)
        return os.fdopen(descriptor, "rb")


class _Zip:
    def __init__(self, path: Path, opened: zipfile.ZipFile) -> None:
        self._path = path
        self._zip = opened

    def sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in self._zip.infolist():
            plain = entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1
            if entry.filename in found or not plain or entry.file_size != entry.compress_size:
                raise InvalidInputError(
                    f"{self._path} holds {entry.filename!r} twice, compressed or encrypted, as no "
                    "backup does. Nothing was changed."
                )
            found[entry.filename] = entry.file_size
        return found

    def open(self, name: str) -> IO[bytes]:
        return self._zip.open(name)


class Backup:
    """An opened backup, whose manifest was read and names what lies there, no more and no less."""

    def __init__(self, path: Path, source: _Source) -> None:
        self._path = path
        self._source = source
        sizes = source.sizes()
        self.manifest = self._read_manifest(sizes)
        self._compare(sizes)

    def check(self, told: Told) -> None:
        """Read all of it, and raise InvalidInputError where something is not as it was written."""
        for part in self.manifest.parts:
            told(f"checking {part.name}")
            if isinstance(part, TablePart):
                for _ in self.text(part):
                    pass
            else:
                for _ in self.content(part):
                    pass

    def content(self, part: TablePart | FilePart) -> Iterator[bytes]:
        """Yield a part's bytes; raises at the end if they were not those that were written."""
        digest = hashlib.sha256()
        size = 0
        try:
            with self._source.open(part.name) as file:
                while size <= part.size_bytes and (block := file.read(_BLOCK)):
                    digest.update(block)
                    size += len(block)
                    yield block
        except (OSError, zipfile.BadZipFile, EOFError) as error:
            raise self._damaged(part) from error
        if size != part.size_bytes or digest.hexdigest() != part.sha256:
            raise self._damaged(part)

    def text(self, part: TablePart) -> Iterator[bytes]:
        """Yield a table's rows; raises when there is more of it, or less, than was written."""
        stream = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
        size = 0
        try:
            # A reader and no other way: whatever a block would become, it gives a megabyte of it.
            with stream.stream_reader(cast(IO[bytes], _Blocks(self.content(part)))) as reader:
                while block := reader.read(_BLOCK):
                    size += len(block)
                    if size > part.text_bytes:
                        raise self._damaged(part)
                    yield block
        except zstandard.ZstdError as error:
            raise self._damaged(part) from error
        if size != part.text_bytes:
            raise self._damaged(part)

    def _damaged(self, part: TablePart | FilePart) -> InvalidInputError:
        return InvalidInputError(
            f"{part.name} in {self._path} is not as it was written: the backup was damaged or "
            "changed. Take another copy of it. Nothing was changed here."
        )

    def _read_manifest(self, sizes: dict[str, int]) -> Manifest:
        if not 0 < sizes.get(MANIFEST, 0) <= LONGEST_MANIFEST:
            raise InvalidInputError(
                f"{self._path} holds no {MANIFEST}, so it is no backup of Scopebook, or not a "
                "whole one; name the file or folder that `scopebook backup` wrote."
            )
        try:
            with self._source.open(MANIFEST) as file:
                content = file.read(LONGEST_MANIFEST)
        except (OSError, zipfile.BadZipFile, EOFError) as error:
            raise self._no_manifest() from error
        version = version_of(content)
        if version is not None and version > VERSION:
            raise InvalidInputError(
                f"{self._path} is a backup in format {version} and this Scopebook reads {VERSION}; "
                "take a newer Scopebook."
            )
        try:
            return read(content)
        except (ValueError, ValidationError, RecursionError) as error:
            raise self._no_manifest() from error

    def _no_manifest(self) -> InvalidInputError:
        return InvalidInputError(
            f"The {MANIFEST} in {self._path} is not as `scopebook backup` writes it: the backup "
            "was damaged or changed. Take another copy of it. Nothing was changed here."
        )

    def _compare(self, sizes: dict[str, int]) -> None:
        said = {part.name: part.size_bytes for part in self.manifest.parts}
        found = {name: size for name, size in sizes.items() if name != MANIFEST}
        wrong = sorted(
            name for name in said.keys() | found.keys() if said.get(name) != found.get(name)
        )
        if wrong or len(said) != len(self.manifest.parts):
            named = f"{wrong[0]!r}" if wrong else "a part"
            raise InvalidInputError(
                f"{named} in {self._path} is missing, is not in its manifest or has another size: "
                "the backup was damaged or changed. Take another copy of it. Nothing was changed "
                "here."
            )


class _Blocks:
    """What a decompressor reads from, over blocks that are to be taken to their end."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._blocks, b"")
        if size < 0:
            size = len(self._rest)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """Open the backup of a path; raises ScopebookError where it is none or was damaged."""
    real = path.expanduser()
    if not real.exists():
        raise NotFoundError(f"There is no {path}; name what `scopebook backup` wrote.")
    with ExitStack() as stack:
        try:
            if real.is_dir():
                source: _Source = _Folder(real)
            else:
                source = _Zip(path, stack.enter_context(zipfile.ZipFile(real)))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise InvalidInputError(
                f"{path} is no backup of Scopebook, or not a whole one; name the file or folder "
                "that `scopebook backup` wrote."
            ) from error
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be read ({error.strerror or error}); let this user read it."
            ) from error
        yield Backup(path, source)
