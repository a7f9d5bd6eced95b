"""The migrations make what the tables say, and can be undone."""

from alembic import command

from scopebook.db.migrate import _config, revisions, upgrade


def test_the_migrations_make_exactly_the_tables(database_url: str) -> None:
    command.check(_config(database_url))


def test_an_upgrade_of_a_current_database_changes_nothing(database_url: str) -> None:
    upgrade(database_url)

    present, newest = revisions(database_url)
    assert present == newest is not None


def test_every_migration_can_be_undone_and_done_again(database_url: str) -> None:
    command.downgrade(_config(database_url), "base")
    upgrade(database_url)

    command.check(_config(database_url))
