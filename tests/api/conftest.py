"""The app over a database of the test's own."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from scopebook.db.sessions import Sessions
from scopebook_api.app import create_app


@pytest.fixture
def client(sessions: Sessions) -> Iterator[TestClient]:
    """A client of the app on the same machine; the app cannot embed queries."""
    with TestClient(
        create_app(sessions, lambda _: None),
        base_url="http://localhost:8000",
        client=("127.0.0.1", 50000),
        raise_server_exceptions=False,
    ) as client:
        yield client
