"""Bring a database to the newest revision."""

import logging

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

log = logging.getLogger(__name__)


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", "scopebook_migrations:.")
    # Percent signs of an encoded password would be read as interpolation.
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def upgrade(database_url: str) -> None:
    """Run every migration the database lacks; a no-op when there is none."""
    command.upgrade(_config(database_url), "head")


def known_revisions() -> tuple[str, ...]:
    """Return the revisions that this program knows, the newest first."""
    scripts = ScriptDirectory.from_config(_config(""))
    return tuple(script.revision for script in scripts.walk_revisions())


def revisions(database_url: str) -> tuple[str | None, str | None]:
    """Return the database's revision and the newest there is."""
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return present, ScriptDirectory.from_config(_config(database_url)).get_current_head()
