"""What a worker process has: settings, a database of its own and a folder for artifacts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scopebook.db.sessions import Sessions, sessions
from scopebook.settings import Settings, settings, use_settings


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny tensors gain nothing from a second thread, and wait for it on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture
def worker(database_url: str, tmp_path: Path) -> Iterator[Sessions]:
    """Point this process at a database of the test's own, and return its session factory."""
    before = settings()
    use_settings(Settings(database_url=database_url, data_dir=tmp_path, broker_url=None))
    sessions.cache_clear()
    yield sessions()
    sessions().kw["bind"].dispose()
    use_settings(before)
    sessions.cache_clear()
