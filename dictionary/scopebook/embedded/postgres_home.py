"""Where a server's files lie, and as whom it runs: root may not run PostgreSQL."""

import os
import pwd
import secrets
from dataclasses import dataclass
from pathlib import Path

from scopebook.embedded.binaries import ROOT_HOME
from scopebook.embedded.children import User
from scopebook.embedded.disk import write_private
from scopebook.errors import InstanceError

#: In the data folder: names the place of a database that could not lie in the folder itself.
RECORD = "postgres-home"


@dataclass(frozen=True)
class PostgresHome:
    """The place of one server's files and the user they belong to (None: whoever runs us)."""

    place: Path
    user: User | None

    @property
    def pgdata(self) -> Path:
        """The server's own data directory."""
        return self.place / "pgdata"


def make_private(folder: Path, user: User | None) -> None:
    """Make a folder that only its user may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if user:
        os.chown(folder, user.uid, user.gid)


def can_enter(user: User, folder: Path) -> bool:
    """Tell whether `user` can reach `folder` through all of its parents."""
    for part in (folder, *folder.parents):
        state = part.stat()
        as_owner = state.st_uid == user.uid and state.st_mode & 0o100
        as_group = state.st_gid == user.gid and state.st_mode & 0o010
        if not (as_owner or as_group or state.st_mode & 0o001):
            return False
    return True


def _nobody() -> User:
    try:
        found = pwd.getpwnam("nobody")
    except KeyError as error:
        raise InstanceError(
            "PostgreSQL does not run as root and this machine has no user `nobody`; start "
            "Scopebook as a normal user."
        ) from error
    return User(found.pw_uid, found.pw_gid)


def _server_user(pgdata: Path) -> User | None:
    if os.geteuid() != 0:
        return None
    # A database that a normal user made goes on under that user when root starts it.
    if pgdata.exists() and pgdata.stat().st_uid != 0:
        return User(pgdata.stat().st_uid, pgdata.stat().st_gid)
    return _nobody()


def _recorded(data_dir: Path) -> Path | None:
    record = data_dir / RECORD
    if not record.exists():
        return None
    place = Path(record.read_text().strip())
    if not place.is_dir():
        raise InstanceError(
            f"The database of {data_dir} lies in {place}, which is gone; bring it back, or remove "
            f"{record} to begin with an empty database."
        )
    return place


def _new_place(data_dir: Path, user: User | None) -> Path:
    if user is None or can_enter(user, data_dir):
        place = data_dir / "postgres"
        place.mkdir(exist_ok=True)
        return place
    # Never a chmod of the person's own folders: the files go where `nobody` may be.
    place = ROOT_HOME / secrets.token_hex(8)
    place.mkdir(parents=True)
    ROOT_HOME.chmod(0o755)
    (place / "data-folder").write_text(f"{data_dir.resolve()}\n")
    write_private(data_dir / RECORD, f"{place}\n")
    return place


def find_home(data_dir: Path) -> PostgresHome:
    """Return where the database of a data folder lies; decided once, on the first call."""
    inside = data_dir / "postgres"
    place = _recorded(data_dir) or (inside if (inside / "pgdata").exists() else None)
    if place is None:
        place = _new_place(data_dir, _server_user(inside / "pgdata"))
    user = _server_user(place / "pgdata")
    # A strict umask must not close a folder of ours to the server's user.
    if user and place.stat().st_uid == os.geteuid():
        place.chmod(0o711)
    return PostgresHome(place, user)
