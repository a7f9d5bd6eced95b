"""A database, a broker and workers that a drill may kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.drills.workers import LoneWorker
from tests.workers.conftest import _one_thread, worker

from scopebook.db.sessions import Sessions

__all__ = ["_one_thread", "worker"]


@pytest.fixture
def lone_worker(worker: Sessions, tmp_path: Path) -> Iterator[LoneWorker]:
    """A worker in a process of its own, not yet started."""
    lone = LoneWorker(tmp_path / "worker.log")
    yield lone
    lone.kill()
