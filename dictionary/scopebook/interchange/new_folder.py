"""A folder that is there whole or not at all: filled under another name, renamed at the end."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scopebook.artifacts import remedy_of
from scopebook.errors import ConflictError, ScopebookError, UnavailableError

_LOCK: Final = ".lock"


def check_new(path: Path) -> None:
    """Refuse a path where something is, before hours are spent on what would go there."""
    target = path.expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConflictError(f"{path} is there already; choose another path, or remove it.")


@contextmanager
def new_folder(path: Path, *, what: str = "export") -> Iterator[Path]:
    """Give a folder to fill that becomes `path` at the end; what a killed writer left is removed.

    `what` it is stands in what people are told.

    Raises ConflictError where something is there, UnavailableError where the disk takes no more.
    """
    check_new(path)
    target = path.expanduser().absolute()
    partial = target.parent / f".{target.name}.partial"
    try:
        with _locked(partial, path, what):
            try:
                yield partial
                (partial / _LOCK).unlink()
                _publish(partial, target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
    except ScopebookError:
        raise
    except OSError as error:
        raise UnavailableError(
            f"{path} could not be written ({error.strerror or error}); {remedy_of(error)}, then "
            f"begin the {what} again."
        ) from error


@contextmanager
def _locked(partial: Path, path: Path, what: str) -> Iterator[None]:
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"{path} is being written by another {what}; wait for it, or choose another path."
            ) from None
        for leftover in partial.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.name != _LOCK:
                leftover.unlink()
        yield


def _publish(partial: Path, target: Path) -> None:
    for file in partial.rglob("*"):
        sync(file)
    if target.exists():
        target.rmdir()
    partial.rename(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Have a file or a folder lie on the disk, and not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
