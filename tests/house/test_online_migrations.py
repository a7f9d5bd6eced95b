"""Migrations of big tables let others write, wait for each other, and can be done again."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, create_engine, text

from scopebook.db.migrate import _config, revisions, upgrade

JOB = text("INSERT INTO job (kind, title, parameters) VALUES ('', '', '{}') RETURNING id")
STEP = text(
    "INSERT INTO step (job_id, stage, kind, title, parameters) VALUES (:job_id, 0, '', '', '{}')"
)
BUILDING = text("SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'")
#: Nothing is claimed of how fast a busy machine is.
PATIENCE_S = 300


@pytest.fixture
def old(database_url: str) -> Iterator[Engine]:
    """A database that lacks the indexes of revision 0028."""
    command.downgrade(_config(database_url), "0027")
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def indexes(connection: Connection) -> set[str]:
    return set(
        connection.scalars(
            text(
                "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
                " WHERE indrelid = 'step'::regclass AND indisvalid"
            )
        )
    )


def started(database_url: str) -> subprocess.Popen[bytes]:
    code = "import sys; from scopebook.db.migrate import upgrade; upgrade(sys.argv[1])"
    return subprocess.Popen([sys.executable, "-c", code, database_url])


def test_others_write_while_an_index_is_built_and_two_upgrades_wait_for_each_other(
    old: Engine, database_url: str
) -> None:
    with old.begin() as connection:
        job_id = connection.execute(JOB).scalar_one()
    with old.connect() as slow, old.connect() as other:
        slow.execute(STEP, {"job_id": job_id})  # a transaction that the build has to wait for
        upgrades = [started(database_url), started(database_url)]
        watch = other.execution_options(isolation_level="AUTOCOMMIT")
        for _ in range(PATIENCE_S * 10):
            if watch.scalar(BUILDING):
                break
            time.sleep(0.1)
        else:
            pytest.fail("no index was ever built")

        watch.execute(text("SET lock_timeout = '20s'"))
        watch.execute(STEP, {"job_id": job_id})

        assert [upgrade.poll() for upgrade in upgrades] == [None, None]
        slow.commit()
        assert [upgrade.wait(PATIENCE_S) for upgrade in upgrades] == [0, 0]

    present, newest = revisions(database_url)
    assert present == newest
    with old.connect() as connection:
        assert {"ix_step_place", "ix_step_tried"} <= indexes(connection)
        assert connection.scalar(text("SELECT count(*) FROM step")) == 2


def test_an_index_that_was_not_built_to_its_end_is_built_again(
    old: Engine, database_url: str
) -> None:
    with old.begin() as connection:
        connection.execute(text("CREATE INDEX ix_step_place ON step (job_id)"))
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = 'ix_step_place'::regclass"
            )
        )
        connection.execute(text("DROP INDEX ix_step_open"))

    upgrade(database_url)

    with old.connect() as connection:
        assert "ix_step_place" in indexes(connection)
    command.check(_config(database_url))
