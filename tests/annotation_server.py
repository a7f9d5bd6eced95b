"""A real server, also one whose requests act as whom their header `X-Acting` names."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx2
from fastapi import FastAPI, Header, Request

from running import free_port
from scopebook.accounts import Actor, find_account, local_actor
from scopebook.db.sessions import Sessions, sessions_for
from scopebook_api.app import create_app
from scopebook_api.deps import acting, asking_again

ROOT = Path(__file__).parents[1]


def by_name(name: str | None, sessions: Sessions) -> Actor:
    """Return the account of that name, or `local`."""
    with sessions.begin() as session:
        if name is None:
            return local_actor(session)
        account = find_account(session, name)
        return Actor(account_id=account.id, name=account.name, role=account.role)  # type: ignore[arg-type]


def app_for(sessions: Sessions) -> FastAPI:
    """Return the app, with accounts by a header."""
    app = create_app(sessions, lambda _: None)

    def by_header(x_acting: Annotated[str | None, Header()] = None) -> Actor:
        return by_name(x_acting, sessions)

    def still_there(request: Request) -> Callable[[], object]:
        return lambda: by_name(request.headers.get("x-acting"), sessions)

    app.dependency_overrides[acting] = by_header
    app.dependency_overrides[asking_again] = still_there
    return app


@contextmanager
def serving(database_url: str, *, by_header: bool = True) -> Iterator[str]:
    """Run the app in a process of its own, as it is or with accounts by a header."""
    port = free_port()
    given = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), *given.split(os.pathsep)])
    process = subprocess.Popen(
        [sys.executable, __file__, database_url, str(port), "header" if by_header else "as-it-is"],
        env={**os.environ, "PYTHONPATH": paths},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 300
        while not _answers(url):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server did not answer"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/api/session", timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        (app_for if sys.argv[3] == "header" else create_app)(sessions_for(sys.argv[1])),
        port=int(sys.argv[2]),
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
