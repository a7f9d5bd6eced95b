"""Bring a database to the newest revision."""

import logging

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from scopebook.backups.marker import refuse_unfinished
from scopebook.db.connecting import engine_over

log = logging.getLogger(__name__)


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", "scopebook_migrations:.")
    # Percent signs of an encoded password would be read as interpolation.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def upgrade(database_url: str, *, also_unfinished: bool = False) -> None:
    """Run every migration the database lacks; a no-op when there is none.

    Raises ConflictError where a backup was not restored to its end, unless `also_unfinished`.
    """
    if not also_unfinished:
        refuse_unfinished(database_url)
    command.upgrade(_config(database_url), "head")


def drop_tables(connection: Connection) -> None:
    """Undo all migrations, in the connection's transaction."""
    if MigrationContext.configure(connection).get_current_revision() is not None:
        command.downgrade(_config_over(connection), "base")


def migrate_within(connection: Connection, revision: str = "head") -> None:
    """Run every migration up to a revision, in the connection's transaction."""
    command.upgrade(_config_over(connection), revision)


def _config_over(connection: Connection) -> Config:
    config = _config("")
    config.attributes["connection"] = connection
    return config


def knows_revision(revision: str) -> bool:
    """Tell whether this version has the migration of that name."""
    return revision in known_revisions()


def revision_of(session: Session) -> str | None:
    """Return the revision of a session's database."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def newest_revision() -> str | None:
    """Return the newest revision that this version knows."""
    return ScriptDirectory.from_config(_config("")).get_current_head()


def known_revisions() -> tuple[str, ...]:
    """Return the revisions that this program knows, the newest first."""
    scripts = ScriptDirectory.from_config(_config(""))
    return tuple(script.revision for script in scripts.walk_revisions())


def revisions(database_url: str) -> tuple[str | None, str | None]:
    """Return the database's revision and the newest there is."""
    engine = engine_over(database_url)
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return present, ScriptDirectory.from_config(_config(database_url)).get_current_head()
