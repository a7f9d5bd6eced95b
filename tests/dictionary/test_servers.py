"""Parts of a team's instance refuse servers that are not named, not there, or not up to date."""

import time

import pytest
from sqlalchemy import create_engine, make_url, text
from typer.testing import CliRunner

from scopebook.cli import app
from scopebook.db.sessions import Sessions
from scopebook.embedded.valkey import EmbeddedValkey
from scopebook.errors import ConflictError, InvalidInputError, ScopebookError, UnavailableError
from scopebook.servers import migrate, require_servers
from scopebook.settings import Settings

DOWN = "postgresql://x:geheim@127.0.0.1:1/x"


def refusal(chosen: Settings, wait_s: float = 0) -> str:
    with pytest.raises(ScopebookError) as refused:
        require_servers(chosen, wait_s=wait_s)
    assert "geheim" not in str(refused.value)
    return str(refused.value)


def test_what_is_not_named_is_refused_at_once() -> None:
    said = refusal(Settings(database_url=None, broker_url="redis://x"), wait_s=600)
    assert "SCOPEBOOK_DATABASE_URL is not set" in said
    assert "SCOPEBOOK_DATABASE_URL_FILE" in said

    said = refusal(Settings(database_url=DOWN, broker_url=None), wait_s=600)
    assert "SCOPEBOOK_BROKER_URL is not set" in said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (DOWN, "The database does not answer: "),
        ("postgres://x:geheim@127.0.0.1:1/x", "The database has an address that is none of"),
        ("mysql://x:geheim@127.0.0.1:1/x", "The database has an address that is none of"),
        ("postgresql://x:geheim@127.0.0.1:geheim/x", "The database has an address that is none of"),
        ("geheim", "The database has an address that is none of"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    url: str, said: str
) -> None:
    told = refusal(Settings(database_url=url, broker_url="redis://:geheim@127.0.0.1:1"))

    assert said in told
    assert "correct SCOPEBOOK_DATABASE_URL" in told


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:geheim@127.0.0.1:1", "The broker does not answer: "),
        ("amqp://x:geheim@127.0.0.1:1", "The broker does not answer: "),
        ("redis://:geheim@127.0.0.1:geheim", "The broker has an address that is none of"),
        ("what://:geheim@127.0.0.1:1", "The broker has an address that is none of"),
    ],
)
def test_a_broker_that_cannot_be_reached_is_told_without_its_password(
    database_url: str, url: str, said: str
) -> None:
    told = refusal(Settings(database_url=database_url, broker_url=url))

    assert said in told
    assert "correct SCOPEBOOK_BROKER_URL" in told


def test_servers_are_waited_for_as_long_as_was_said() -> None:
    begun = time.monotonic()

    refusal(Settings(database_url=DOWN, broker_url="redis://127.0.0.1:1"), wait_s=1.5)

    assert time.monotonic() - begun >= 1.5


def test_tables_of_another_version_are_refused_until_they_are_migrated(
    database_url: str, sessions: Sessions, tmp_path_factory: pytest.TempPathFactory
) -> None:
    broker = EmbeddedValkey(tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        chosen = Settings(database_url=database_url, broker_url=broker.url())
        require_servers(chosen, wait_s=0)
        _mark(database_url, "0001")
        assert "is at revision 0001, not " in refusal(chosen)
        assert "run `scopebook migrate`" in refusal(chosen)
    finally:
        broker.stop()


def test_a_database_of_a_newer_version_is_left_as_it_is(database_url: str) -> None:
    _mark(database_url, "9999")

    with pytest.raises(ConflictError, match="made by a newer Scopebook"):
        migrate(Settings(database_url=database_url), wait_s=0)


def test_a_role_that_may_not_bring_in_pgvector_is_told_so(
    database_url: str,
) -> None:
    server = make_url(database_url).set(database="postgres")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP ROLE IF EXISTS weak"))
        connection.execute(text("CREATE ROLE weak LOGIN PASSWORD 'geheim'"))
        connection.execute(text("CREATE DATABASE weak OWNER weak"))
    weak = server.set(username="weak", password="geheim", database="weak")
    chosen = Settings(database_url=weak.render_as_string(hide_password=False))
    try:
        with pytest.raises(UnavailableError) as refused:
            migrate(chosen, wait_s=0)
    finally:
        with engine.connect() as connection:
            connection.execute(text("DROP DATABASE weak WITH (FORCE)"))
            connection.execute(text("DROP ROLE weak"))
        engine.dispose()

    assert "could not be brought up to date: permission denied to create extension" in str(
        refused.value
    )
    assert "geheim" not in str(refused.value)


def _mark(database_url: str, revision: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
    engine.dispose()


@pytest.mark.parametrize(
    ("queues", "said"),
    [
        ("what", "is no list of queues; name some of cpu, "),
        ("", "is no list of queues"),
        ("cpu,what", "is no list of queues"),
        ("live,cpu", "start one by --queues live and another by --queues cpu."),
    ],
)
def test_queues_that_no_worker_may_have_are_refused(queues: str, said: str) -> None:
    done = CliRunner().invoke(app, ["worker", "--queues", queues])

    assert isinstance(done.exception, InvalidInputError)
    assert said in str(done.exception)
