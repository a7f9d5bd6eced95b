"""The app over a database of the test's own."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from apps import app_over
from scopebook.db.sessions import Sessions
from scopebook.settings import settings, use_settings


@pytest.fixture(autouse=True)
def _no_worker_is_waited_for() -> Iterator[None]:
    """Answer at once that no worker has taken a request to run a model: there is none here."""
    before = settings()
    use_settings(before.model_copy(update={"inference_patience_s": 0.1}))
    yield
    use_settings(before)


@pytest.fixture
def client(sessions: Sessions) -> Iterator[TestClient]:
    """A client of the app on the same machine; the app cannot embed queries."""
    with TestClient(
        app_over(sessions),
        base_url="http://localhost:8000",
        client=("127.0.0.1", 50000),
        raise_server_exceptions=False,
    ) as client:
        yield client
