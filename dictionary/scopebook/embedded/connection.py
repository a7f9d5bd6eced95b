"""How a command finds its database and broker: an instance that runs, or one for its time."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from scopebook.embedded.children import last_line, open_log
from scopebook.embedded.disk import make_folder
from scopebook.embedded.folder import TAKEN, DataFolder, RunningInstance
from scopebook.embedded.programs import exported
from scopebook.errors import InstanceError
from scopebook.secret_files import without_files
from scopebook.settings import Settings

_BACKGROUND = [sys.executable, "-m", "scopebook.embedded.background"]
#: A first start migrates, and one after a crash recovers.
_READY_S = 300.0
_STOP_S = 60.0
#: Others still use the instance if it did not begin to stop in this time.
_OTHERS_S = 1.0
_POLL_S = 0.05


class Connection(NamedTuple):
    """Where a command works."""

    database_url: str
    broker_url: str | None


@contextmanager
def connect(settings: Settings, *, work: bool) -> Iterator[Connection]:
    """Yield the database and the broker of the settings, of a running instance, or of a new one.

    A new one gets workers if `work` asks for them, is shared with the commands that come while it
    runs, and has ended when the last of them returns from here.
    """
    if settings.database_url and (settings.broker_url or not work):
        yield Connection(settings.database_url, settings.broker_url)
        return
    folder = DataFolder(settings.data_dir)
    make_folder(folder.path)
    users, work_users = folder.users(), folder.work_users()
    try:
        users.take(shared=True, wait=True)
        if work:
            work_users.take(shared=True, wait=True)
        running = _Search(folder, settings, work=work).find()
        yield Connection(running.database_url, running.broker_url)
    finally:
        work_users.release()
        users.release()
        _see_off(folder)


class _Search:
    """One command's wait for a ready instance, which it starts if nobody else does."""

    def __init__(self, folder: DataFolder, settings: Settings, *, work: bool) -> None:
        self._folder = folder
        self._settings = settings.model_copy(update={"data_dir": folder.path})
        self._work = work
        self._log = folder.logs / "background.log"
        self._started: subprocess.Popen[bytes] | None = None

    def find(self) -> RunningInstance:
        """Return the instance once it has what this command needs."""
        until = time.monotonic() + _READY_S
        while time.monotonic() < until:
            running = self._folder.running()
            if running and (running.broker_url or not self._work):
                return running
            self._see_to_one()
            time.sleep(_POLL_S)
        raise InstanceError(
            f"The instance of {self._folder.path} was not ready within {_READY_S:.0f} s; see the "
            f"logs in {self._folder.logs}."
        )

    def _see_to_one(self) -> None:
        ended = self._started.poll() if self._started else TAKEN
        if ended is None or self._folder.held():
            return
        if ended not in (0, TAKEN):
            raise InstanceError(last_line(self._log))
        self._started = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        output = open_log(self._log)
        try:
            return subprocess.Popen(
                _BACKGROUND,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **without_files(os.environ, self._settings.model_fields_set),
                    **exported(self._settings),
                    "PYTHONSAFEPATH": "1",
                },
                start_new_session=True,  # Ctrl-C is for the command
            )
        finally:
            os.close(output)


def _see_off(folder: DataFolder) -> None:
    """Wait until an instance that nobody uses any more has ended."""
    begun = time.monotonic()
    while time.monotonic() < begun + _STOP_S:
        holder = folder.holder()
        if holder is not None and holder.kind == "up":
            return
        may_be_ending = holder is not None and time.monotonic() < begun + _OTHERS_S
        if not may_be_ending and _used(folder):
            return
        time.sleep(_POLL_S)


def _used(folder: DataFolder) -> bool:
    # An instance takes this lock for itself alone before it stops, and holds it to its very end.
    probe = folder.users()
    used = probe.take(shared=True)
    probe.release()
    return used
