"""Indexes by which a deletion finds what hangs on a document, a sense or a label."""

import sqlalchemy as sa
from alembic import op

from scopebook_migrations.online import create_index, drop_index

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_OLD = "uq_context_tokenisation_id_document_id_ordinal"
_NEW = "uq_context_document_id_tokenisation_id_ordinal"
#: Ends of foreign keys that are asked for when what they point to is deleted.
_POINTING = (
    *(("label", "sense_id"), ("label_score", "job_id")),
    *(("pin", "sense_id"), ("pin", "label_id")),
)


def upgrade() -> None:
    for table, column in _POINTING:
        there = sa.text(f"{column} IS NOT NULL")
        create_index(f"ix_{table}_{column}", table, [column], postgresql_where=there)
    # The new one first: no moment in which a document's context could come in twice.
    _make_unique(_NEW, ["document_id", "tokenisation_id", "ordinal"], instead_of=_OLD)


def downgrade() -> None:
    _make_unique(_OLD, ["tokenisation_id", "document_id", "ordinal"], instead_of=_NEW)
    for table, column in reversed(_POINTING):
        drop_index(f"ix_{table}_{column}", table)


def _make_unique(name: str, columns: list[str], *, instead_of: str) -> None:
    op.execute(f"ALTER TABLE context DROP CONSTRAINT IF EXISTS {name}")
    create_index(name, "context", columns, unique=True)
    op.execute(f"ALTER TABLE context ADD CONSTRAINT {name} UNIQUE USING INDEX {name}")
    op.execute(f"ALTER TABLE context DROP CONSTRAINT IF EXISTS {instead_of}")
