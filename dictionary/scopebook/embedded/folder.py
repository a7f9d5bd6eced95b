"""The data folder of an instance: who holds it, who uses it, and where its servers answer."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, Field, ValidationError

from scopebook.embedded.disk import make_folder, require_free_space, write_private
from scopebook.embedded.locks import FileLock

#: Who runs an instance: `scopebook up`, or other commands for as long as they need it.
Kind = Literal["up", "command"]

#: Exit code of an instance in the background that found the folder taken.
TAKEN = 3
#: Others look whether the lock is held by taking it for a moment.
_PATIENCE_S = 1.0


class Holder(BaseModel):
    """The process that holds a data folder."""

    pid: int
    kind: Kind


class RunningInstance(Holder):
    """Where a ready instance answers."""

    database_url: str
    broker_url: str | None = None
    api_url: str | None = None
    started: datetime = Field(default_factory=lambda: datetime.now(UTC))


class DataFolder:
    """One data folder and the small files by which processes find each other in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.logs = self.path / "logs"
        self._instance = self.path / "instance.json"
        self._lock = FileLock(self.path / "lock")

    def prepare(self) -> None:
        """Make the folder, and refuse one that takes no files or has no room."""
        make_folder(self.path)
        require_free_space(self.path)

    def take(self, holder: Holder) -> bool:
        """Become the one that runs this folder's instance; tell whether it was free."""
        until = time.monotonic() + _PATIENCE_S
        while not self._lock.take():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        self._lock.write(holder.model_dump_json())
        return True

    def release(self) -> None:
        """Let others run it."""
        self._instance.unlink(missing_ok=True)
        self._lock.release()

    def held(self) -> bool:
        """Tell whether a live process runs this folder's instance, as far as this user may see."""
        probe = FileLock(self.path / "lock")
        try:
            if self._lock.held or not self.path.is_dir():
                return self._lock.held
            free = probe.take(shared=True)
        except PermissionError:  # another's folder; who would use it hears so from `prepare`
            return False
        probe.release()
        return not free

    def holder(self) -> Holder | None:
        """Return who holds the folder; None when nobody does, or has not yet said so."""
        if not self.held():
            return None
        try:
            holder = Holder.model_validate_json(self._lock.path.read_text())
        except ValidationError:
            return None
        # Between taking the lock and writing the name there stands the name of the one before.
        return holder if psutil.pid_exists(holder.pid) else None

    def clear_stale(self) -> bool:
        """Drop what a killed holder left; tell whether there was anything. Needs the lock."""
        stale = self._instance.exists()
        self._instance.unlink(missing_ok=True)
        return stale

    def announce(self, running: RunningInstance) -> None:
        """Say where the instance answers. The file holds a password and is its owner's alone."""
        write_private(self._instance, running.model_dump_json(indent=2))

    def running(self) -> RunningInstance | None:
        """Return the ready instance of this folder, if there is one."""
        holder = self.holder()
        try:
            running = RunningInstance.model_validate_json(self._instance.read_text())
        except (FileNotFoundError, PermissionError, ValidationError):
            return None
        return running if holder and holder.pid == running.pid else None

    def users(self) -> FileLock:
        """Return the lock that commands share while they use the instance."""
        return FileLock(self.path / "users")

    def work_users(self) -> FileLock:
        """Return the lock that commands share while they need workers too."""
        return FileLock(self.path / "work-users")
