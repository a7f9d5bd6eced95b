"""A real PostgreSQL for every test that asks for one: migrated once, rolled back after each."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from scopebook import credentials
from scopebook.db.migrate import upgrade
from scopebook.db.sessions import Sessions
from scopebook.embedded.postgres import EmbeddedPostgres

# What a shell starts in the background is deaf to Ctrl-C, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put drills first, whose minutes others fill, and the browser's tests last.

    Playwright leaves an event loop running in its thread.
    """
    items.sort(key=lambda item: ("e2e" in item.path.parts) - ("drills" in item.path.parts))


def pytest_collection_finish() -> None:
    """Look for garbage less often, as the served API does, and not among all that is imported.

    Looking took an eighth of the processor's time. At the end pytest looks for all of it.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords by the same algorithm at the least cost, which is meant to be high."""
    cheap = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    monkeypatch.setattr(credentials, "_hasher", lambda: cheap)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for the whole test run."""
    home = Path(tempfile.mkdtemp(prefix="scopebook-tests-", dir=_memory()))
    home.chmod(0o755)  # so that the server, which root runs as nobody, can keep its data in it
    server = EmbeddedPostgres(home)
    server.start()
    # Hundreds of databases are made and dropped, and none outlives the server.
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        _administer(server, f"ALTER SYSTEM SET {name} = off")
    _administer(server, "SELECT pg_reload_conf()")
    yield server
    server.stop()
    server.remove()
    shutil.rmtree(home, ignore_errors=True)


def _memory() -> str | None:
    """Return a folder in memory if there is plenty of it, else none.

    A database is a thousand files, and hundreds are made: a disk's file system takes four times
    as much of the processor for it.
    """
    folder = Path("/dev/shm")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return None
    least = min(shutil.disk_usage(folder).free, psutil.virtual_memory().available)
    return str(folder) if least >= 4 * 2**30 else None


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database that others are copied from."""
    _administer(postgres, "CREATE DATABASE template_scopebook")
    upgrade(postgres.url("template_scopebook"))
    return "template_scopebook"


def _administer(postgres: EmbeddedPostgres, statement: str) -> None:
    engine = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def copy_template(postgres: EmbeddedPostgres, template: str, name: str) -> None:
    """Make a database from another, file by file: by way of the log it takes half as long again."""
    _administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


@pytest.fixture(scope="session")
def engine(postgres: EmbeddedPostgres, template: str) -> Iterator[Engine]:
    """The database of the tests that roll back."""
    copy_template(postgres, template, "rolled_back")
    engine = create_engine(postgres.url("rolled_back"))
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session whose work, commits included, is undone after the test."""
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(
            connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            yield session
        outer.rollback()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A migrated database of the test's own, for tests that commit or use several connections."""
    name = f"test_{os.urandom(6).hex()}"
    copy_template(postgres, template, name)
    yield postgres.url(name)
    _administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    """A session factory over a database of the test's own."""
    engine = create_engine(database_url)
    yield sessionmaker(engine, expire_on_commit=False)
    engine.dispose()
