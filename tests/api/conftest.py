"""The app over a database of the test's own."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from scopebook.db.sessions import Sessions
from scopebook_api.app import create_app


@pytest.fixture
def client(sessions: Sessions) -> Iterator[TestClient]:
    """A client of the app that cannot embed queries."""
    with TestClient(create_app(sessions, lambda _: None), raise_server_exceptions=False) as client:
        yield client
