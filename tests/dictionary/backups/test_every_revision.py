"""A database of any earlier revision, with rows in its tables, comes up to date without a loss.

They are a full instance's rows, taken back to each revision by the migrations themselves.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from sqlalchemy import Engine, create_engine, text
from tests.dictionary.backups.conftest import Instance

from conftest import _administer, copy_template
from scopebook.db.migrate import _config, known_revisions, upgrade
from scopebook.embedded.postgres import EmbeddedPostgres

#: What a migration derives anew from other rows or keeps elsewhere, and which does.
CHANGED = {
    "feature_entry.state": "0017 calls those accepted that the reviews accept",
    "label.words": "0013 fills it with the words of the label's text",
    "sense.run_id": "0007 keeps it with the labeling",
}


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """Yield an engine that leaves no connection behind."""
    engine = create_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


#: Each table's columns in their order, and its key's.
SHAPE = text("""
    SELECT c.relname, array_agg(a.attname ORDER BY a.attnum),
           array_agg(a.attname ORDER BY array_position(i.indkey::int2[], a.attnum))
               FILTER (WHERE a.attnum = ANY(i.indkey::int2[]))
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> 'alembic_version'
    GROUP BY c.relname ORDER BY c.relname
""")


def contents(url: str) -> dict[str, dict[str, list[str]]]:
    """Return the values of each column of each table, as texts, by the order of the table's key."""
    found: dict[str, dict[str, list[str]]] = {}
    with connected(url) as engine, engine.connect() as connection:
        for table, names, key in connection.execute(SHAPE).all():
            order = ", ".join(f'"{name}"' for name in key or ()) or "t::text"
            chosen = ", ".join(f'"{name}"::text' for name in names)
            rows = connection.execute(text(f'SELECT {chosen} FROM "{table}" t ORDER BY {order}'))
            columns = list(zip(*rows, strict=True)) or [()] * len(names)
            found[table] = dict(zip(names, map(list, columns), strict=True))
    return found


def lost(
    before: dict[str, dict[str, list[str]]], after: dict[str, dict[str, list[str]]]
) -> set[str]:
    """Return what is not what it was; tables that are gone, and columns that are gone, are not."""
    return {
        f"{table}.{column}"
        for table, columns in before.items()
        for column, values in columns.items()
        if after.get(table, {}).get(column) != values
    }


def test_no_row_is_lost_on_the_way_from_any_revision(
    full: Instance, postgres: EmbeddedPostgres
) -> None:
    newest, *earlier = known_revisions()
    empty = [table for table, columns in contents(full.url).items() if not any(columns.values())]
    assert not empty, "these tables have no rows to lose"
    seen: set[str] = set()
    for revision in earlier:
        full.leave()
        command.downgrade(_config(full.url), revision)
        before = contents(full.url)
        copy = f"test_{os.urandom(6).hex()}"
        copy_template(postgres, str(full.sessions.kw["bind"].url.database), copy)
        try:
            upgrade(postgres.url(copy))
            after = contents(postgres.url(copy))
        finally:
            _administer(postgres, f"DROP DATABASE {copy} WITH (FORCE)")
        lost_from = lost(before, after)
        assert lost_from <= set(CHANGED), f"from {revision} to {newest}"
        seen |= lost_from
    assert seen == set(CHANGED)
