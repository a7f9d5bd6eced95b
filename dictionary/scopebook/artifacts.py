"""Files that steps leave for one another: whole or not there, in a folder or an object store."""

import errno
import fcntl
import os
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

import fsspec

from scopebook.errors import UnavailableError
from scopebook.settings import settings

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)

#: How the name of a file begins that is being written, or whose writer was killed.
_PARTIAL: Final = ".partial-"


def write_artifact(name: str, write: Callable[[BinaryIO], None]) -> str:
    """Let `write` fill the artifact of that name and return the name.

    Nobody sees it before it is complete: in a folder it is renamed into place, and an object
    store shows what was uploaded to its end.
    """
    try:
        if _is_folder():
            write_whole(Path(settings().artifacts) / name, write)
        else:
            with fsspec.open(f"{settings().artifacts}/{name}", "wb") as file:
                write(file)
    except OSError as error:
        raise UnavailableError(
            f"{name} could not be written to {settings().artifacts} ({error.strerror or error}); "
            f"{remedy_of(error)}, then retry the job."
        ) from error
    return name


def any_artifact() -> bool:
    """Tell whether anything lies where artifacts do, but for what is being written."""
    files, root = fsspec.url_to_fs(settings().artifacts)
    found = files.ls(root, detail=False) if files.exists(root) else []
    return any(not str(path).rstrip("/").rpartition("/")[2].startswith(".") for path in found)


def check_writable() -> None:
    """Write a file and remove it; raise UnavailableError where that does not work."""
    name = f".ready-{uuid.uuid4().hex}"
    write_artifact(name, _write_word)
    remove_artifact(name)


def _write_word(file: BinaryIO) -> None:
    file.write(b"ready\n")


def remedy_of(error: OSError) -> str:
    """Return what helps against what kept a file from being written."""
    if error.errno in _FULL:
        return "free space there"
    if error.errno in _FORBIDDEN:
        return "let the user of the workers write there"
    return "mend what stands in the way"


def open_artifact(name: str) -> AbstractContextManager[BinaryIO]:
    """Open an artifact for reading; only the parts that are asked for are read."""
    url = f"{settings().artifacts}/{name}"
    try:
        return cast("AbstractContextManager[BinaryIO]", fsspec.open(url, "rb").open())
    except OSError as error:
        raise UnavailableError(
            f"{url} cannot be read ({error.strerror or error}); bring it back, or collect again."
        ) from error


def list_artifacts(folder: str) -> list[str]:
    """Return the names of what lies in a folder of the artifacts, half-written files too."""
    files, root = fsspec.url_to_fs(f"{settings().artifacts}/{folder}")
    if not files.isdir(root):
        return []
    return sorted(f"{folder}/{path.rsplit('/', 1)[-1]}" for path in files.ls(root, detail=False))


def sizes_in(folder: str) -> dict[str, int]:
    """Return the bytes of each file in a folder of the artifacts, by its name."""
    files, root = fsspec.url_to_fs(f"{settings().artifacts}/{folder}")
    if not files.isdir(root):
        return {}
    return {
        f"{folder}/{str(one['name']).rsplit('/', 1)[-1]}": int(one["size"] or 0)
        for one in files.ls(root, detail=True)
    }


def remove_artifact(name: str) -> None:
    """Remove an artifact that nothing refers to; one that is gone already is none the less so."""
    files, path = fsspec.url_to_fs(f"{settings().artifacts}/{name}")
    with suppress(FileNotFoundError):
        files.rm_file(path)


def _is_folder() -> bool:
    return "://" not in settings().artifacts


def write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill the file of that path, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    partial, file = _create_partial(path)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _create_partial(path: Path) -> tuple[Path, BinaryIO]:
    """Create the file that becomes `path`; whoever finds it unlocked knows its writer is dead."""
    while True:
        partial = path.with_name(f"{_PARTIAL}{path.name}.{uuid.uuid4().hex}")
        file = partial.open("xb")
        if _lock(file) and partial.exists():
            return partial, file
        file.close()  # somebody took it for a leftover before it was locked


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left there."""
    for leftover in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError), leftover.open("rb") as file:
            if _lock(file):
                leftover.unlink(missing_ok=True)


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: nothing is taken for a leftover there.
        return file.writable()
    return True


def _sync_folder(folder: Path) -> None:
    """Bring the file's name to disk too: the database will say that it is there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
