"""Locks on files that the kernel frees when their holder dies, however it dies."""

import fcntl
import os
from pathlib import Path


class FileLock:
    """An flock on a file; shared or exclusive, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Tell whether this object holds the lock."""
        return self._descriptor is not None

    def take(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock and return whether it was to be had; `wait` until it is."""
        if self.held:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def write(self, text: str) -> None:
        """Replace what the held file says, for whoever asks who holds it."""
        if self._descriptor is None:
            raise RuntimeError(f"{self.path} is not held")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Free the lock; a no-op when it is not held. The file stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
