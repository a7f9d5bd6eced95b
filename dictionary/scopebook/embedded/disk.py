"""What we ask of a disk before we write: a folder that takes files, room, and whole files."""

import errno
import os
import shutil
from pathlib import Path

from scopebook.errors import InstanceError

LEAST_FREE_BYTES = 10**9

_REASONS = {
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EROFS: "its disk is mounted read-only",
    errno.ENOSPC: "its disk is full",
    errno.EDQUOT: "this user's share of its disk is used up",
    errno.ENOTDIR: "a file stands where a folder should be",
    errno.EEXIST: "a file stands where a folder should be",
}


def make_folder(folder: Path) -> None:
    """Make a folder that nobody else may list, if it is not there, and prove that it takes files.

    Root's may be passed through, because its database server runs as another user.
    """
    try:
        folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_bytes(b"-")
        probe.unlink()
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise InstanceError(
            f"The data folder {folder} cannot be used: {reason}; mend that, or choose another by "
            "--data-dir or SCOPEBOOK_DATA_DIR."
        ) from error


def free_bytes(folder: Path) -> int:
    """Return how much a user may still write to the disk of a folder."""
    return shutil.disk_usage(folder).free


def require_free_space(folder: Path) -> None:
    """Refuse a disk on which the database would soon run full."""
    free = free_bytes(folder)
    if free < LEAST_FREE_BYTES:
        raise InstanceError(
            f"The disk of {folder} has {free / 1e6:.0f} MB left and Scopebook needs at least "
            f"{LEAST_FREE_BYTES / 1e9:.0f} GB; free some space or choose another data folder."
        )


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)
