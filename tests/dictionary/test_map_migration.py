"""Maps come and go with their migration, and nothing else does."""

from alembic import command
from sqlalchemy import create_engine, text

from scopebook.db.migrate import _config, upgrade

ROWS = (
    "INSERT INTO tokenizer (id, sha256, path) VALUES (1, 'x', '')",
    "INSERT INTO model (id, name, path, layers, d_model, tokenizer_id)"
    " VALUES (1, 'm', '', 2, 8, 1)",
    "INSERT INTO release (id, name, model_id, set_name, width, source)"
    " VALUES (1, 'r', 1, 's', 8, '')",
    "INSERT INTO embedder (id, name, sha256, dimension) VALUES (1, 'e', 'x', 8)",
    "INSERT INTO map (release_id, embedder_id, layers, labels_state, parameters, regions, points,"
    " artifact) VALUES (1, 1, '{0}', '', '{}', '[]', 0, '')",
)


def test_a_downgrade_takes_the_maps_and_leaves_their_release(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in ROWS:
            connection.execute(text(statement))

    command.downgrade(_config(database_url), "0007")
    upgrade(database_url)

    with engine.begin() as connection:
        assert connection.execute(text("SELECT name FROM release")).scalars().all() == ["r"]
        assert connection.execute(text("SELECT count(*) FROM map")).scalar_one() == 0
    engine.dispose()
