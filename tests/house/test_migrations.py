"""The migrations make what the tables say, and can be undone."""

from typing import Any

from alembic import command
from sqlalchemy import Row, create_engine, select, text
from sqlalchemy.orm import Session

from makers import (
    make_corpus,
    make_evidence,
    make_examples,
    make_label,
    make_labeling,
    make_origin,
    make_release,
    make_run,
    make_score,
)
from scopebook.db.migrate import _config, revisions, upgrade
from scopebook.db.sessions import Sessions, unit_of_work
from scopebook.db.tables import Context
from scopebook.entries import refresh_saes


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


def test_labels_from_before_labelings_keep_their_words_their_senses_and_their_run(
    database_url: str,
) -> None:
    command.downgrade(_config(database_url), "0006")
    engine = create_engine(database_url)
    rows = (
        "INSERT INTO job (id, kind, title, parameters) VALUES (1, '', '', '{}')",
        "INSERT INTO tokenizer (id, sha256, path) VALUES (1, 'x', '')",
        "INSERT INTO model (id, name, path, layers, d_model, tokenizer_id)"
        " VALUES (1, 'm', '', 2, 8, 1)",
        "INSERT INTO release (id, name, model_id, set_name, width, source)"
        " VALUES (1, 'r', 1, 's', 8, '')",
        "INSERT INTO sae (id, release_id, layer, d_sae, kind, k, sha256, artifact)"
        " VALUES (1, 1, 0, 8, 'topk', 2, '', '')",
        "INSERT INTO feature (id, sae_id, index, decoder_norm, promoted, suppressed, neighbours)"
        " VALUES ((1 << 20) + 3, 1, 3, 1, '', '', '')",
        "INSERT INTO corpus (id, name, source) VALUES (1, 'c', '')",
        "INSERT INTO tokenisation (id, corpus_id, tokenizer_id, context_tokens)"
        " VALUES (1, 1, 1, 8)",
        "INSERT INTO run (id, job_id, release_id, tokenisation_id, layers, parameters)"
        " VALUES (5, 1, 1, 1, '{0}', '{}')",
        "INSERT INTO sense (id, feature_id, run_id, ordinal, share, keywords, members)"
        " VALUES (7, (1 << 20) + 3, 5, 0, 1, '{a}', '{0,1}')",
        "INSERT INTO label (id, feature_id, sae_id, sense_id, text, source, method, provenance,"
        " current) SELECT 10 + n, (1 << 20) + 3, 1, CASE n WHEN 1 THEN 7 END, 'text', 'keywords',"
        " 'keywords-1', jsonb_build_object('run', 5, 'threshold', 0.8, 'sense', NULL,"
        " 'example_set', repeat('ab', 32)), true FROM generate_series(0, 1) AS n",
        "INSERT INTO label (id, feature_id, sae_id, text, source, method, provenance, current)"
        " VALUES (20, (1 << 20) + 3, 1, 'mine', 'person', 'page', '{}', false)",
    )
    with engine.begin() as connection:
        for statement in rows:
            connection.execute(text(statement))

    upgrade(database_url)

    with engine.begin() as connection:
        [labeling] = connection.execute(text("SELECT id, run_id, parameters FROM labeling")).all()
        assert (labeling.run_id, labeling.parameters) == (5, {"threshold": 0.8})
        labels = connection.execute(
            text("SELECT id, labeling_id, sense_id, current FROM label ORDER BY id")
        ).all()
        assert labels == [
            (10, labeling.id, None, True),
            (11, labeling.id, 7, True),
            (20, None, None, False),
        ]
        senses = connection.execute(text("SELECT id, labeling_id, members FROM sense")).all()
        assert senses == [(7, labeling.id, [0, 1])]
        sets = connection.execute(text("SELECT encode(example_set, 'hex') FROM label_outcome"))
        assert sets.scalars().all() == ["ab" * 32]
    command.downgrade(_config(database_url), "0006")
    with engine.begin() as connection:
        runs = connection.execute(text("SELECT provenance->>'run' FROM label ORDER BY id"))
        assert runs.scalars().all() == ["5", "5", None]
        assert connection.execute(text("SELECT id, run_id FROM sense")).all() == [(7, 5)]
    upgrade(database_url)
    engine.dispose()


def test_entries_that_the_migration_fills_are_those_that_a_refresh_writes(
    sessions: Sessions, database_url: str
) -> None:
    with unit_of_work(sessions) as session:
        sae, other = make_release(session)
        run = make_run(session, [sae], make_corpus(session, ["text"]))
        context_id = session.scalars(select(Context.id)).one()
        examples = make_examples([context_id], end=3)
        make_evidence(session, run, sae, 1, examples=examples, flags=["dense"])
        make_score(session, make_label(session, sae, 1, "rivers"), 0.7)
        make_label(session, sae, 2, "法律", source="person")
        make_origin(session, make_labeling(session, sae, run.id, source="llm"), 3, status="failed")
        refresh_saes(session, [sae.id, other.id])
        before = _entries(session)
        words = session.execute(text("SELECT word, lexeme FROM label_word")).all()
    sessions.kw["bind"].dispose()

    command.downgrade(_config(database_url), "0012")
    upgrade(database_url)

    with unit_of_work(sessions) as session:
        assert _entries(session) == before
        assert session.execute(text("SELECT word, lexeme FROM label_word")).all() == words


def _entries(session: Session) -> list[Row[Any]]:
    return list(session.execute(text("SELECT * FROM feature_entry ORDER BY feature_id")).all())
