"""Vectors of windows, kept so that none is computed or paid for twice."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "window_vector",
        sa.Column("embedder", sa.LargeBinary(16), primary_key=True),
        sa.Column("window", sa.LargeBinary(16), primary_key=True),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
    )
    # Numbers like these do not get smaller by packing; trying costs time for each row.
    op.execute("ALTER TABLE window_vector ALTER COLUMN vector SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("window_vector")
