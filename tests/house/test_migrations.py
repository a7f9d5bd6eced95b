"""The migrations make what the tables say, and can be undone."""

from alembic import command
from sqlalchemy import create_engine, text

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


def test_corpora_from_before_near_duplicates_stay_as_they_are(database_url: str) -> None:
    command.downgrade(_config(database_url), "0001")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO corpus (id, name, source) VALUES (1, 'old', '/nowhere')",
            "INSERT INTO tokenizer (id, sha256, path) VALUES (1, 'x', '/nowhere')",
            "INSERT INTO tokenisation (id, corpus_id, tokenizer_id, context_tokens)"
            " VALUES (1, 1, 1, 8)",
            "INSERT INTO document (id, corpus_id, ordinal, name, sha256, text)"
            " VALUES (1, 1, 0, 'a', '', 'a')",
            "INSERT INTO context (tokenisation_id, document_id, ordinal, n_tokens, tokens, spans)"
            " VALUES (1, 1, 0, 1, '', '')",
        ):
            connection.execute(text(statement))

    upgrade(database_url)

    with engine.begin() as connection:
        for table in ("document", "context"):
            rows = connection.execute(text(f"SELECT simhash, near_id FROM {table}")).all()
            assert rows == [(None, None)]
    command.downgrade(_config(database_url), "0001")
    upgrade(database_url)
    engine.dispose()


def test_steps_and_evidence_written_before_keep_what_is_known(database_url: str) -> None:
    command.downgrade(_config(database_url), "0001")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO job (id, kind, title, parameters) VALUES (1, '', '', '{}')")
        )
        connection.execute(
            text(
                "INSERT INTO step (job_id, stage, kind, title, parameters, fence, started_at)"
                " SELECT 1, 0, '', fence, '{}', fence, now() FROM generate_series(0, 2) AS fence"
            )
        )

    upgrade(database_url)

    with engine.begin() as connection:
        begun = connection.execute(text("SELECT fence FROM step WHERE claimed_at = started_at"))
        assert [fence for (fence,) in begun] == [1]
    engine.dispose()
