"""Indexes of big tables, built and dropped while others write to them.

Such a migration does only this, and can be done again from its beginning: what was built before
a kill stays, and an index that was not built to its end is dropped first.
"""

from collections.abc import Sequence
from typing import Any

from alembic import op


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """Build an index, whose writers go on meanwhile; `options` are those of `op.create_index`."""
    if _within_a_transaction():
        op.create_index(name, table, list(columns), **options)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, list(columns), postgresql_concurrently=True, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index if it is there; readers and writers go on meanwhile."""
    if _within_a_transaction():
        op.drop_index(name, table_name=table, if_exists=True)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)


def _within_a_transaction() -> bool:
    """Tell whether the migrations are part of a transaction that is another's, as a restore's."""
    return bool(op.get_context().opts.get("within_a_transaction"))
