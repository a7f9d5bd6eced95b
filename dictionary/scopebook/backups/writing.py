"""Write a backup: a folder or one zip file, there whole or not at all and for its owner alone."""

import fcntl
import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple, Protocol, cast

from scopebook.artifacts import remedy_of
from scopebook.errors import ConflictError, ScopebookError, UnavailableError
from scopebook.interchange.new_folder import check_new, new_folder, sync

#: A backup with this ending is one file, any other a folder.
ONE_FILE: Final = ".zip"
_BLOCK: Final = 1 << 20
_PRIVATE: Final = 0o600
#: The earliest that a zip file can say: what is in a backup has no times.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)


class Written(NamedTuple):
    """What became of a part."""

    size_bytes: int
    sha256: str


class Hashing:
    """A file that counts and hashes what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, content: Any) -> int:
        """Write as a file does."""
        self._digest.update(content)
        self._size += len(content)
        self._file.write(content)
        return len(content)

    @property
    def written(self) -> Written:
        """What was written by now."""
        return Written(self._size, self._digest.hexdigest())


class Target(Protocol):
    """Where the parts of a backup go."""

    @contextmanager
    def part(self, name: str) -> Iterator[Hashing]:
        """Give a file for a part to be written."""


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def part(self, name: str) -> Iterator[Hashing]:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            yield Hashing(file)


class _Zip:
    def __init__(self, file: BinaryIO) -> None:
        # Parts are compressed where that is of use, and read as they are by any program.
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    @contextmanager
    def part(self, name: str) -> Iterator[Hashing]:
        entry = zipfile.ZipInfo(name, _NO_TIME)
        entry.external_attr = _PRIVATE << 16
        with self._zip.open(entry, "w", force_zip64=True) as file:
            yield Hashing(file)

    def close(self) -> None:
        self._zip.close()


@contextmanager
def new_backup(path: Path) -> Iterator[Target]:
    """Give a backup to fill that becomes `path` at the end; a killed one leaves no such path.

    Raises ConflictError where something is there, UnavailableError where the disk takes no more.
    """
    if path.suffix.lower() != ONE_FILE:
        with new_folder(path, what="backup") as folder:
            folder.chmod(0o700)
            yield _Folder(folder)
        return
    check_new(path)
    try:
        with _new_file(path.expanduser().absolute()) as file:
            target = _Zip(file)
            try:
                yield target
            except BaseException:
                with suppress(OSError, ValueError):  # of a file that nobody will see
                    target.close()
                raise
            target.close()
    except ScopebookError:
        raise
    except OSError as error:
        raise UnavailableError(
            f"{path} could not be written ({error.strerror or error}); {remedy_of(error)}, then "
            "make the backup again."
        ) from error


@contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"{target} is being written by another backup; wait for it, or choose another path."
            ) from None
        try:
            # What a killed backup left is written over.
            os.fchmod(file.fileno(), _PRIVATE)
            file.truncate()
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
            check_new(target)
            partial.rename(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync(target.parent)


def copy_file(source: IO[bytes], target: Hashing) -> None:
    """Write a file's content, a block at a time."""
    while block := source.read(_BLOCK):
        target.write(block)
