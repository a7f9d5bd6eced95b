"""Near-duplicates: a fingerprint of each document and context, and the earliest it repeats.

Rows from before keep null: they count as repeating nothing, and nothing is compared with them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("document", "context"):
        op.add_column(table, sa.Column("simhash", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("near_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_document_near_id_document"),
        "document",
        "document",
        ["near_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(
        "ix_document_near_id",
        "document",
        ["near_id"],
        unique=False,
        postgresql_where=sa.text("near_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_document_near_id", table_name="document")
    op.drop_constraint(op.f("fk_document_near_id_document"), "document", type_="foreignkey")
    for table in ("context", "document"):
        op.drop_column(table, "near_id")
        op.drop_column(table, "simhash")
