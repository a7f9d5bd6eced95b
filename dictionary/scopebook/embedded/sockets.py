"""Short private folders for Unix sockets, whose paths may hold about a hundred bytes only."""

import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from scopebook.embedded.children import User

#: macOS allows 104 bytes; `.s.PGSQL.5432.lock` and our own folder name take 50 of them.
_LONGEST_PARENT = 50


def _parent() -> Path:
    wanted = Path(tempfile.gettempdir()).resolve()
    if len(os.fsencode(wanted)) <= _LONGEST_PARENT and os.access(wanted, os.W_OK | os.X_OK):
        return wanted
    return Path("/tmp")


def _is_ours(folder: Path, uid: int) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid


def socket_folder(home: Path, part: str, *, user: User | None = None) -> Path:
    """Return a 0700 folder for the sockets of `part`, the same one for the same `home`.

    The same name each time, so that a crash leaves nothing that piles up. A folder of that name
    which belongs to somebody else is not used.
    """
    uid = user.uid if user else os.geteuid()
    digest = hashlib.sha256(f"{uid}:{home.resolve()}:{part}".encode()).hexdigest()[:16]
    folder = _parent() / f"scopebook-{digest}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if user and _is_ours(folder, os.geteuid()):
        os.chown(folder, user.uid, user.gid)
    if not _is_ours(folder, uid):
        folder = Path(tempfile.mkdtemp(prefix="scopebook-", dir=_parent()))
        if user:
            os.chown(folder, user.uid, user.gid)
    folder.chmod(0o700)
    return folder
