"""SAEs without a top-k survive a downgrade to tables that cannot leave it out."""

from alembic import command
from sqlalchemy import create_engine, text

from scopebook.db.migrate import _config, upgrade

ROWS = """
INSERT INTO tokenizer (id, sha256, path) VALUES (1, 'a', '/t');
INSERT INTO model (id, name, path, layers, d_model, tokenizer_id) VALUES (1, 'm', '/m', 4, 8, 1);
INSERT INTO release (id, name, model_id, set_name, width, k, source)
    VALUES (1, 'k', 1, 'k', 16, 5, '/s'), (2, 'none', 1, 'none', 16, NULL, '/s');
INSERT INTO sae (id, release_id, layer, d_sae, k, kind, sha256, artifact) VALUES
    (1, 1, 1, 16, 5, 'topk', 'a', '/a'),
    (2, 2, 1, 16, NULL, 'relu', 'b', '/b'),
    (3, 2, 2, 16, NULL, 'threshold', 'c', '/c');
"""


def test_the_kinds_of_saes_survive_a_downgrade_and_an_upgrade(database_url: str) -> None:
    engine = create_engine(database_url)
    command.downgrade(_config(database_url), "0003")
    with engine.begin() as connection:
        connection.execute(text(ROWS))

    command.downgrade(_config(database_url), "-1")
    with engine.connect() as connection:
        old = connection.execute(text("SELECT k FROM sae ORDER BY id")).scalars().all()
    upgrade(database_url)

    with engine.connect() as connection:
        saes = connection.execute(text("SELECT kind, k FROM sae ORDER BY id")).all()
        ks = connection.execute(text("SELECT k FROM release ORDER BY id")).scalars().all()
    engine.dispose()
    assert old == [5, 0, -1]
    assert [tuple(row) for row in saes] == [("topk", 5), ("relu", None), ("threshold", None)]
    assert ks == [5, None]
